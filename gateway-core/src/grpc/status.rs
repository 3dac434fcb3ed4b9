//! How a call ended: the codes of gRPC, their HTTP statuses, and the forms in which each protocol writes them.

use super::message::Mapping;
use crate::http::{Headers, percent_decode};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::Any;
use serde_json::{Value, json};

/// A code (google/rpc/code.proto). One that is unknown counts as `UNKNOWN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(u8);

/// Name, the name in Connect, and the HTTP status (google/rpc/code.proto; Connect, "Error codes").
const CODES: [(&str, &str, u16); 17] = [
    ("OK", "ok", 200),
    ("CANCELLED", "canceled", 499),
    ("UNKNOWN", "unknown", 500),
    ("INVALID_ARGUMENT", "invalid_argument", 400),
    ("DEADLINE_EXCEEDED", "deadline_exceeded", 504),
    ("NOT_FOUND", "not_found", 404),
    ("ALREADY_EXISTS", "already_exists", 409),
    ("PERMISSION_DENIED", "permission_denied", 403),
    ("RESOURCE_EXHAUSTED", "resource_exhausted", 429),
    ("FAILED_PRECONDITION", "failed_precondition", 400),
    ("ABORTED", "aborted", 409),
    ("OUT_OF_RANGE", "out_of_range", 400),
    ("UNIMPLEMENTED", "unimplemented", 501),
    ("INTERNAL", "internal", 500),
    ("UNAVAILABLE", "unavailable", 503),
    ("DATA_LOSS", "data_loss", 500),
    ("UNAUTHENTICATED", "unauthenticated", 401),
];

impl Code {
    /// 0
    pub const OK: Self = Self(0);
    /// 1
    pub const CANCELLED: Self = Self(1);
    /// 2
    pub const UNKNOWN: Self = Self(2);
    /// 4
    pub const DEADLINE_EXCEEDED: Self = Self(4);
    /// 12
    pub const UNIMPLEMENTED: Self = Self(12);
    /// 13
    pub const INTERNAL: Self = Self(13);

    /// The code of this number.
    pub fn from_number(number: i64) -> Self {
        u8::try_from(number).ok().filter(|number| usize::from(*number) < CODES.len()).map_or(Self::UNKNOWN, Self)
    }

    /// The code that Connect calls so.
    pub fn from_connect(name: &str) -> Self {
        CODES.iter().position(|(_, connect, _)| *connect == name).map_or(Self::UNKNOWN, |at| Self(at as u8))
    }

    /// What an answer without a status of its own means (gRPC, "HTTP to gRPC Status Code Mapping").
    pub fn from_http(status: u16) -> Self {
        Self(match status {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502..=504 => 14,
            _ => 2,
        })
    }

    /// What a problem of the gateway means to a client that speaks in codes.
    pub fn from_problem(status: u16) -> Self {
        Self(match status {
            400 | 411 | 414 | 417 | 422 => 3,
            401 => 16,
            403 => 7,
            404 | 405 | 415 | 501 => 12,
            409 => 10,
            413 | 429 | 431 => 8,
            499 => 1,
            502 | 503 => 14,
            504 => 4,
            _ => 13,
        })
    }

    /// 0 to 16
    pub fn number(self) -> u8 {
        self.0
    }

    /// `NOT_FOUND`
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// `not_found`
    pub fn connect(self) -> &'static str {
        self.row().1
    }

    /// 404
    pub fn http(self) -> u16 {
        self.row().2
    }

    fn row(self) -> (&'static str, &'static str, u16) {
        CODES.get(usize::from(self.0)).copied().unwrap_or(CODES[2])
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The code.
    pub code: Code,
    /// What happened, for developers.
    pub message: String,
    /// More of it, in messages of types that both sides know.
    pub details: Vec<Any>,
}

/// google/rpc/status.proto
#[derive(Clone, PartialEq, Message)]
struct Rpc {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

const DETAILS: &str = "grpc-status-details-bin";

impl Status {
    /// One without details.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// Whether the call has succeeded.
    pub fn is_ok(&self) -> bool {
        self.code == Code::OK
    }

    /// Reads `grpc-status` and the fields beside it; `None` where there is none.
    pub fn from_fields(fields: &Headers) -> Option<Self> {
        let number = fields.text("grpc-status")?.trim().parse().unwrap_or(2);
        let message = fields.text("grpc-message").map(percent_decode).unwrap_or_default();
        let packed = fields.text(DETAILS).and_then(|text| decode(text.trim()));
        let details = packed.and_then(|bytes| Rpc::decode(bytes.as_slice()).ok()).map(|rpc| rpc.details);
        Some(Self {
            code: Code::from_number(number),
            message: String::from_utf8_lossy(&message).into_owned(),
            details: details.unwrap_or_default(),
        })
    }

    /// Writes those fields.
    pub fn to_fields(&self, fields: &mut Headers) {
        fields.set("grpc-status", self.code.0.to_string());
        if !self.message.is_empty() {
            fields.set("grpc-message", encode_message(&self.message));
        }
        if !self.details.is_empty() {
            let (code, message, details) = (self.code.0.into(), self.message.clone(), self.details.clone());
            fields.set(DETAILS, encode(&Rpc { code, message, details }.encode_to_vec()));
        }
    }

    /// Reads an error of Connect; the code is that of the HTTP status where the error does not say.
    pub fn from_connect(error: &Value, status: Option<u16>) -> Self {
        let code = match (error.get("code").and_then(Value::as_str), status) {
            (Some(name), _) => Code::from_connect(name),
            (None, Some(status)) => Code::from_http(status),
            (None, None) => Code::UNKNOWN,
        };
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let details = error.get("details").and_then(Value::as_array).into_iter().flatten().filter_map(|detail| {
            let value = decode(&text(detail, "value")?)?;
            Some(Any { type_url: format!("{TYPES}{}", text(detail, "type")?), value })
        });
        Self { code, message: text(error, "message").unwrap_or_default(), details: details.collect() }
    }

    /// Writes such an error.
    pub fn to_connect(&self) -> Value {
        let mut error = json!({ "code": self.code.connect() });
        if !self.message.is_empty() {
            error["message"] = self.message.clone().into();
        }
        if !self.details.is_empty() {
            let details =
                self.details.iter().map(|detail| json!({ "type": name(detail), "value": encode(&detail.value) }));
            error["details"] = details.collect();
        }
        error
    }

    /// The details as JSON, as far as their types are known; of others only what they are. What is for the developers of the
    /// service alone is left out.
    pub fn details_as_json(&self, pool: &DescriptorPool) -> Vec<Value> {
        let shown = self.details.iter().filter(|detail| name(detail) != "google.rpc.DebugInfo");
        shown.map(|detail| detail_as_json(detail, pool)).collect()
    }
}

fn detail_as_json(detail: &Any, pool: &DescriptorPool) -> Value {
    // What is no such message, or has more of them in each other than are read, is shown by its type alone.
    let known = || Mapping::default().to_value(&pool.get_message_by_name(name(detail))?, &detail.value).ok();
    match known() {
        // any.proto: what has JSON of its own stands in it as one value.
        Some(Value::Object(mut members))
            if !matches!(name(detail), "google.protobuf.Any" | "google.protobuf.Struct") =>
        {
            members.insert("@type".to_owned(), detail.type_url.clone().into());
            Value::Object(members)
        }
        Some(value) => json!({ "@type": detail.type_url, "value": value }),
        None => json!({ "@type": detail.type_url }),
    }
}

const TYPES: &str = "type.googleapis.com/";

fn name(detail: &Any) -> &str {
    detail.type_url.rsplit('/').next().unwrap_or_default()
}

/// Binary values come with and without padding, and go without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

/// gRPC over HTTP/2, "Status-Message": what is not printable ASCII, and `%`, is percent-encoded UTF-8.
fn encode_message(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => crate::path::encode(byte, &mut out),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_have_the_statuses_of_the_table() {
        for (number, name, status) in [
            (0, "OK", 200),
            (1, "CANCELLED", 499),
            (5, "NOT_FOUND", 404),
            (16, "UNAUTHENTICATED", 401),
            (17, "UNKNOWN", 500),
        ] {
            let code = Code::from_number(number);
            assert_eq!((code.name(), code.http()), (name, status));
            assert_eq!(Code::from_connect(code.connect()), code);
        }
        assert_eq!((Code::from_connect("nonsense"), Code::from_number(-1)), (Code::UNKNOWN, Code::UNKNOWN));
        for (http, name) in [(404, "UNIMPLEMENTED"), (503, "UNAVAILABLE"), (200, "UNKNOWN"), (400, "INTERNAL")] {
            assert_eq!(Code::from_http(http).name(), name, "{http}");
        }
    }

    #[test]
    fn a_status_that_is_no_number_is_unknown() {
        let read = |block: &str| Status::from_fields(&Headers::from_block(block.as_bytes().to_vec()));
        assert_eq!(read("grpc-message\0a\n"), None);
        assert_eq!(read("grpc-status\0x\ngrpc-message\0a%zz%C3\n"), Some(Status::new(Code::UNKNOWN, "a%zz\u{FFFD}")));
        assert_eq!(read("grpc-status\x005\ngrpc-status-details-bin\0!\n"), Some(Status::new(Code(5), "")));
    }

    proptest! {
        #[test]
        fn a_status_survives_either_form(number in 1_u8..17, message in "\\PC{0,12}", value in prop::collection::vec(any::<u8>(), 0..9)) {
            let details = vec![Any { type_url: "type.googleapis.com/a.B".to_owned(), value }];
            let status = Status { code: Code(number), message, details };
            let mut fields = Headers::new();
            status.to_fields(&mut fields);
            prop_assert!(fields.iter().all(|(_, value)| value.iter().all(|byte| (b' '..=b'~').contains(byte))));
            prop_assert_eq!(Status::from_fields(&fields), Some(status.clone()));
            prop_assert_eq!(Status::from_connect(&status.to_connect(), None), status);
        }
    }
}
