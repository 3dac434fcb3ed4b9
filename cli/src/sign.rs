//! `postern sign`: a signed request to try a gateway with, as a line for the shell.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_core::client::Client;
use gateway_core::http::{Body, Headers, Incoming, Peer, Scheme};
use gateway_core::request::{Limits, Line, Request};
use gateway_core::signature::component::Component;
use gateway_core::signature::hmac::Sent;
use gateway_core::signature::key::{Hash, Secret};
use gateway_core::signature::{Message, input};
use gateway_core::template::{Settings, Template};
use sha2::{Digest, Sha256};

use crate::arguments::{Sign, SignatureStyle};
use crate::outcome::{Failure, Outcome};
use crate::secrets;

/// Signs a request and prints it. The secret comes through standard input, so that no list of processes and no history of a
/// shell keeps it.
pub fn run(options: &Sign) -> Result<Outcome, Failure> {
    let secret = secrets::read_line("the secret")?;
    let secret = Secret::new(&Template::literal(secret), options.base64, &Settings::new()).map_err(Failure::told)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let request = Signable::read(options, now)?;
    let added = match options.style {
        SignatureStyle::Message => request.by_message(options, &secret, now)?,
        SignatureStyle::Kong => request.by_header("hmac", "username", "date request-line", options, &secret)?,
        SignatureStyle::Apisix => request.by_header("Signature", "keyId", "@request-target date", options, &secret)?,
    };
    let mut line = format!("curl -X {} {}", options.method, quoted(&request.url()));
    let given = request.headers.iter().filter(|(name, _)| *name != "host");
    let given = given.map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()));
    for (name, value) in given.chain(added) {
        line.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    }
    if let Some(data) = &options.data {
        line.push_str(&format!(" \\\n  --data-raw {}", quoted(data)));
    }
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(Outcome::Fine)
}

/// A request as the gateway will read it.
struct Signable {
    line: Line,
    client: Client,
    headers: Headers,
}

impl Signable {
    fn read(options: &Sign, now: u64) -> Result<Self, Failure> {
        let wrong = || Failure::told(format!("`{}` is not a URL with scheme and host", options.url));
        let (scheme, rest) = options.url.split_once("://").ok_or_else(wrong)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(wrong()),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let mut headers = Headers::new();
        headers.receive("host", authority.as_bytes());
        for (name, value) in &options.headers {
            headers.receive(name, value.as_bytes());
        }
        if let Some(data) = &options.data {
            let digest = STANDARD.encode(Sha256::digest(data));
            match options.style {
                SignatureStyle::Message => headers.receive("content-digest", format!("sha-256=:{digest}:").as_bytes()),
                SignatureStyle::Kong | SignatureStyle::Apisix => {
                    headers.receive("digest", format!("SHA-256={digest}").as_bytes());
                }
            }
        }
        if options.style != SignatureStyle::Message {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
            headers.receive("date", date.as_bytes());
        }
        let incoming: Incoming<()> = Incoming {
            method: options.method.clone(),
            scheme,
            authority: authority.to_owned(),
            target,
            headers,
            body: Body::Empty,
            peer: Peer::default(),
        };
        let (request, _) = Request::read(incoming, &Limits::default(), &[])
            .map_err(|error| Failure::told(format!("a gateway would refuse this request: {}", error.kind().2)))?;
        Ok(Self { line: request.line, client: request.client, headers: request.headers })
    }

    fn message(&self) -> Message<'_> {
        Message::new(&self.line, self.client.scheme, &self.headers)
    }

    /// The path in its normal spelling: what is signed is what is sent.
    fn url(&self) -> String {
        format!("{}://{}{}", self.line.scheme, self.line.authority, self.message().target())
    }

    fn by_message(&self, options: &Sign, secret: &Secret, now: u64) -> Result<Vec<(String, String)>, Failure> {
        let mut components = vec!["@method", "@target-uri"];
        components.extend(options.data.is_some().then_some("content-digest"));
        components.extend(options.components.iter().map(String::as_str));
        let mut covered = Vec::new();
        for text in components {
            let component = Component::parse(text)
                .map_err(|_| Failure::told(format!("`{text}` is nothing that a signature of a request can cover")))?;
            covered.push(component.identifier().to_owned());
        }
        let tag = options.tag.as_ref().map_or(String::new(), |tag| format!(";tag=\"{tag}\""));
        let parameters =
            format!(";created={now};keyid=\"{}\";nonce=\"{}\"{tag}", options.key_id, secrets::letters(22)?);
        let said = format!("sig1=({}){parameters}", covered.join(" "));
        let mut claim = Headers::new();
        claim.receive("signature-input", said.as_bytes());
        claim.receive("signature", b"sig1=:AA==:");
        let wrong = |refusal: gateway_core::signature::Refusal| Failure::told(refusal.reason());
        let signed = input::read(&claim, None, None).map_err(wrong)?;
        let signed = signed.first().ok_or_else(|| Failure::told("there is nothing to sign"))?;
        let code = secret.sign(Hash::Sha256, &signed.base(&self.message()).map_err(wrong)?);
        let signature = format!("sig1=:{}:", STANDARD.encode(code));
        Ok(vec![("signature-input".to_owned(), said), ("signature".to_owned(), signature)])
    }

    fn by_header(
        &self,
        scheme: &str,
        id: &str,
        names: &str,
        options: &Sign,
        secret: &Secret,
    ) -> Result<Vec<(String, String)>, Failure> {
        let mut names = names.to_owned();
        if options.data.is_some() {
            names.push_str(" digest");
        }
        for name in &options.components {
            names.push_str(&format!(" {name}"));
        }
        let credential = |signature: &str| {
            format!(
                "{scheme} {id}=\"{}\",algorithm=\"hmac-sha256\",headers=\"{names}\",signature=\"{signature}\"",
                options.key_id
            )
        };
        let wrong = |refusal: gateway_core::signature::Refusal| Failure::told(refusal.reason());
        let sent = Sent::read(&credential("")).ok_or_else(|| Failure::told("there is nothing to sign"))?;
        let texts = sent.and_then(|sent| sent.texts(&self.message())).map_err(wrong)?;
        let text = texts.first().ok_or_else(|| Failure::told("there is nothing to sign"))?;
        let code = STANDARD.encode(secret.sign(Hash::Sha256, text));
        Ok(vec![("authorization".to_owned(), credential(&code))])
    }
}

/// For a shell: within single quotes nothing means anything but the quote itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
