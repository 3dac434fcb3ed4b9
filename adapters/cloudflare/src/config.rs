//! The gateway's configuration on Workers: the artefact beside the Wasm, references from the Worker's environment.

use gateway_core::gateway::LoadError;
use gateway_core::instance::Instance;
use gateway_core::template::Reference;
use std::cell::RefCell;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Reads the artefact. A reference is the variable or secret of the same name.
pub fn load(artefact: Vec<u8>, env: JsValue) -> Result<Instance, LoadError> {
    // Versions that come later refer to it, too.
    ENVIRONMENT.set(env);
    Instance::load(artefact.into(), value)
}

/// The value of a reference, if there is one.
pub fn value(reference: &Reference) -> Option<String> {
    ENVIRONMENT.with_borrow(|env| property(env, &reference.name).as_string())
}

thread_local! {
    static ENVIRONMENT: RefCell<JsValue> = const { RefCell::new(JsValue::UNDEFINED) };
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Reflect, js_name = get)]
    fn property(object: &JsValue, name: &str) -> JsValue;
}
