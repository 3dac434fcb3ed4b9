//! The gateway's configuration on Workers: the artefact beside the Wasm, references from the Worker's environment.

use gateway_core::Gateway;
use gateway_core::gateway::LoadError;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Reads the artefact. A reference is the variable or secret of the same name.
pub fn load(artefact: Vec<u8>, env: &JsValue) -> Result<Gateway, LoadError> {
    Gateway::load(artefact.into(), |reference| property(env, &reference.name).as_string())
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Reflect, js_name = get)]
    fn property(object: &JsValue, name: &str) -> JsValue;
}
