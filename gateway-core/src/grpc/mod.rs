//! Calls of gRPC services: by clients that speak JSON over HTTP, Connect, gRPC-Web or gRPC, to upstreams that speak gRPC,
//! gRPC-Web or Connect.
//!
//! Read on in the order of a call: [`call`] finds the method and makes the request, [`dialect`] reads the answer and writes
//! it for the client. [`upload`] changes the messages of a request, however many there are, on their way. [`template`] finds methods by
//! `google.api.http`, [`message`] maps messages to JSON and back, [`values`] cuts JSON and [`frame`] everything else into
//! messages, and [`status`] is what all protocols share.

pub mod call;
pub mod dialect;
mod finite;
pub mod frame;
pub mod message;
pub mod status;
pub mod template;
pub mod upload;
pub mod values;

pub use call::{Admitted, Call};
pub use dialect::{Client, Clients, Dialect, Protocol, StreamForm};
pub use message::{BodyField, Mapping};

use crate::forward::Forward;
use crate::record;
use crate::route::Records;
use bytes::Bytes;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use template::{Template, Tree};

/// Calls methods of the services that an upstream has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grpc {
    /// To whom, and by which path methods are found.
    #[serde(rename = "f")]
    pub forward: Forward,
    /// The number of the services in [`Services`].
    #[serde(rename = "s")]
    pub services: u32,
    /// What the upstream speaks.
    #[serde(rename = "d")]
    pub dialect: Dialect,
    /// How messages are written as JSON.
    #[serde(rename = "j")]
    pub mapping: Mapping,
    /// How many messages are written where the client does not say.
    #[serde(rename = "t")]
    pub stream: StreamForm,
    /// The fields of a JSON client's request that become metadata: names in lower case, or beginnings with `*` behind them.
    #[serde(rename = "q")]
    pub request_metadata: Vec<String>,
    /// The metadata that become fields of the answer to such a client.
    #[serde(rename = "a")]
    pub response_metadata: Vec<String>,
    /// How many bytes a message may have.
    #[serde(rename = "m")]
    pub message_limit: u64,
    /// Who is taken.
    #[serde(rename = "c", default, skip_serializing_if = "Clients::is_all")]
    pub clients: Clients,
}

/// The methods of some services, and the ways that lead to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The methods.
    #[serde(rename = "m")]
    pub methods: Vec<Rpc>,
    /// The ways that `google.api.http` declares.
    #[serde(rename = "b")]
    pub bindings: Vec<Binding>,
}

/// A method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rpc {
    /// `package.Service/Method`
    #[serde(rename = "n")]
    pub name: String,
    /// Whether JSON is taken at the method's own path.
    #[serde(rename = "p")]
    pub plain: bool,
}

/// A way to a method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The method in HTTP; `*` is any.
    #[serde(rename = "m")]
    pub method: String,
    /// The paths.
    #[serde(rename = "t")]
    pub template: Template,
    /// The place of the method that is called.
    #[serde(rename = "r")]
    pub rpc: u32,
    /// What the body gives.
    #[serde(rename = "b")]
    pub body: BodyField,
    /// The field that is the whole answer; `None`: all of the message is.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
}

/// Services, most of them still asleep: one is decoded when it is first called, and kept.
#[derive(Debug)]
pub struct Services {
    records: Records,
    awake: RefCell<HashMap<u32, Rc<Service>>>,
}

/// The methods of some services, ready to be called.
#[derive(Debug)]
pub struct Service {
    tree: Tree,
    bindings: Vec<Binding>,
    methods: Vec<Method>,
    by_name: HashMap<String, u32>,
    /// Everything that is known of types.
    pub pool: DescriptorPool,
}

/// A method.
#[derive(Debug)]
pub struct Method {
    /// `package.Service/Method`
    pub name: String,
    /// Whether JSON is taken at the method's own path.
    pub plain: bool,
    /// What it takes and gives.
    pub descriptor: MethodDescriptor,
}

impl Services {
    /// Takes services as [`Services::freeze`] packs them.
    pub fn new(records: Bytes) -> Self {
        Self { records: Records(records), awake: RefCell::default() }
    }

    /// Packs services, each a table and a `FileDescriptorSet`.
    ///
    /// # Errors
    /// Where they take too much room.
    pub fn freeze(services: &[(Table, Vec<u8>)]) -> Result<Vec<u8>, crate::frozen::TooLarge> {
        let tables = services.iter().map(|(table, descriptors)| {
            let table = record::write(table).expect("a table holds only texts and numbers, which JSON can write");
            [table, descriptors.clone()]
        });
        Records::freeze(&tables.flatten().collect::<Vec<_>>())
    }

    /// The services of this number; `None` where they cannot be decoded.
    pub fn get(&self, number: u32) -> Option<Rc<Service>> {
        if let Some(service) = self.awake.borrow().get(&number) {
            return Some(Rc::clone(service));
        }
        let place = number.checked_mul(2)?;
        let table = record::read(&self.records.get(place)?).ok()?;
        let service = Rc::new(Service::new(table, &self.records.get(place + 1)?)?);
        self.awake.borrow_mut().insert(number, Rc::clone(&service));
        Some(service)
    }
}

impl Service {
    /// Makes services ready; `None` where table and descriptors do not fit each other.
    pub fn new(table: Table, descriptors: &[u8]) -> Option<Self> {
        let pool = DescriptorPool::decode(descriptors).ok()?;
        let mut tree = Tree::default();
        for (number, binding) in (0..).zip(&table.bindings) {
            tree.add(&binding.method, &binding.template, number).ok()?;
        }
        let methods = table.methods.into_iter().map(|Rpc { name, plain }| {
            let (service, method) = name.split_once('/')?;
            let descriptor = pool.get_service_by_name(service)?.methods().find(|known| known.name() == method)?;
            Some(Method { name, plain, descriptor })
        });
        let methods: Vec<Method> = methods.collect::<Option<_>>()?;
        let by_name = (0..).zip(&methods).map(|(number, method)| (method.name.clone(), number)).collect();
        Some(Self { tree, bindings: table.bindings, methods, by_name, pool })
    }

    /// The method at its own path, `/package.Service/Method`.
    fn by_path(&self, path: &str) -> Option<&Method> {
        let number = self.by_name.get(path.strip_prefix('/')?)?;
        self.methods.get(*number as usize)
    }

    fn binding(&self, number: u32) -> Option<(&Binding, &Method)> {
        let binding = self.bindings.get(number as usize)?;
        Some((binding, self.methods.get(binding.rpc as usize)?))
    }

    /// The way that a request of a JSON client takes, for tools that explain.
    pub fn explain(&self, method: &str, path: &str) -> Option<(Option<&Binding>, &Method)> {
        match self.tree.find(method, path) {
            template::Found::Number(number) => self.binding(number).map(|(binding, method)| (Some(binding), method)),
            template::Found::OtherMethods(_) => None,
            template::Found::Nothing => Some((None, self.by_path(path).filter(|rpc| rpc.plain && method == "POST")?)),
        }
    }
}

/// Whether a name in lower case is one of these, which may end in `*`.
fn is_named(names: &[String], name: &str) -> bool {
    names.iter().any(|known| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => known == name,
    })
}
