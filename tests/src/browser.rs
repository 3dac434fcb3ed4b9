//! A browser, as far as a login needs one: it keeps cookies by host, follows redirects, and fills in forms.

use crate::client::{Seen, exchange, request};
use crate::wire::Field;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A browser whose names lead to addresses on this machine.
#[derive(Debug, Default)]
pub struct Browser {
    /// Where hosts are; others are addresses themselves.
    pub hosts: BTreeMap<String, SocketAddr>,
    cookies: Vec<Cookie>,
}

/// A page that is shown.
#[derive(Debug, Clone)]
pub struct Page {
    /// Where it is.
    pub address: String,
    /// The response.
    pub seen: Seen,
}

#[derive(Debug, Clone)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

/// More redirects than any login has.
const MOST_REDIRECTS: usize = 20;

impl Browser {
    /// A browser that finds the gateway under these names.
    pub fn new(gateway: SocketAddr, hosts: &[&str]) -> Self {
        Self { hosts: hosts.iter().map(|host| ((*host).to_owned(), gateway)).collect(), cookies: Vec::new() }
    }

    /// Opens an address as if it were typed in, and goes where it is sent.
    pub fn open(&mut self, address: &str) -> Result<Page, String> {
        self.follow("GET", address, &[Field::new("Sec-Fetch-Site", "none")], b"")
    }

    /// Asks as a script of a page would: without going anywhere.
    pub fn script(&mut self, address: &str) -> Result<Page, String> {
        let fields = [Field::new("Sec-Fetch-Mode", "cors"), Field::new("Sec-Fetch-Site", "same-origin")];
        self.ask("GET", address, &fields, b"")
    }

    /// Asks for a page once, without going anywhere.
    pub fn look(&mut self, address: &str) -> Result<Page, String> {
        self.ask("GET", address, &[Field::new("Sec-Fetch-Mode", "navigate")], b"")
    }

    /// Fills in the only form of a page, and sends it.
    pub fn submit(&mut self, page: &Page, inputs: &[(&str, &str)]) -> Result<Page, String> {
        let text = page.text();
        let form = text.split("<form").nth(1).ok_or(format!("no form at {}:\n{text}", page.address))?;
        let form = form.split("</form>").next().unwrap_or(form);
        let action = attribute(form, "action").ok_or("the form goes nowhere")?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for input in form.split("<input").skip(1) {
            let input = input.split('>').next().unwrap_or(input);
            if let Some(name) = attribute(input, "name") {
                pairs.push((name, attribute(input, "value").unwrap_or_default()));
            }
        }
        for (name, value) in inputs {
            pairs.retain(|(known, _)| known != name);
            pairs.push(((*name).to_owned(), (*value).to_owned()));
        }
        let encode = gateway_core::errand::encode;
        let body: Vec<String> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let fields = [
            Field::new("Content-Type", "application/x-www-form-urlencoded"),
            Field::new("Sec-Fetch-Site", "same-origin"),
        ];
        let target = absolute(&page.address, &action);
        self.follow("POST", &target, &fields, body.join("&").as_bytes())
    }

    /// Sends an empty form of a page of the same host, and goes where it is sent.
    pub fn post(&mut self, address: &str) -> Result<Page, String> {
        self.follow("POST", address, &[Field::new("Sec-Fetch-Site", "same-origin")], b"")
    }

    /// The value of a cookie whose name begins so.
    pub fn cookie(&self, host: &str, name: &str) -> Option<String> {
        let found = self.cookies.iter().find(|cookie| cookie.host == host && cookie.name.starts_with(name));
        found.map(|cookie| cookie.value.clone())
    }

    /// Changes the value of a cookie whose name begins so.
    pub fn tamper(&mut self, host: &str, name: &str, change: impl Fn(&str) -> String) {
        for cookie in self.cookies.iter_mut().filter(|cookie| cookie.host == host && cookie.name.starts_with(name)) {
            cookie.value = change(&cookie.value);
        }
    }

    fn follow(&mut self, method: &str, address: &str, fields: &[Field], body: &[u8]) -> Result<Page, String> {
        let mut navigation = vec![Field::new("Sec-Fetch-Mode", "navigate"), Field::new("Accept", "text/html")];
        navigation.extend(fields.iter().cloned());
        let mut page = self.ask(method, address, &navigation, body)?;
        for _ in 0..MOST_REDIRECTS {
            let to = match (page.seen.status, page.seen.head.text("location")) {
                (301..=303 | 307 | 308, Some(location)) => absolute(&page.address, location),
                _ => return Ok(page),
            };
            let fields = [
                Field::new("Sec-Fetch-Mode", "navigate"),
                Field::new("Sec-Fetch-Site", "cross-site"),
                Field::new("Accept", "text/html"),
            ];
            page = self.ask("GET", &to, &fields, b"")?;
        }
        Err(format!("too many redirects, the last to {}", page.address))
    }

    fn ask(&mut self, method: &str, address: &str, fields: &[Field], body: &[u8]) -> Result<Page, String> {
        let rest = address.strip_prefix("http://").ok_or(format!("`{address}` is no address"))?;
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let path = target.split('?').next().unwrap_or("/").to_owned();
        let server = match self.hosts.get(host) {
            Some(address) => *address,
            None => host.parse().map_err(|_| format!("nobody knows the host `{host}`"))?,
        };
        let mut fields = fields.to_vec();
        let sent: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.host == host && path.starts_with(&cookie.path))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        if !sent.is_empty() {
            fields.push(Field::new("Cookie", sent.join("; ")));
        }
        let message = request(method, &target, host, &fields, body);
        let seen = exchange(server, &message, method).map_err(|error| format!("{method} {address}: {error}"))?;
        for line in seen.all("set-cookie").map(String::from_utf8_lossy) {
            self.keep(host, &line);
        }
        Ok(Page { address: format!("http://{host}{target}"), seen })
    }

    fn keep(&mut self, host: &str, line: &str) {
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let attribute = |wanted: &str| {
            attributes
                .split(';')
                .filter_map(|part| part.trim().split_once('='))
                .find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then(|| value.to_owned()))
        };
        let path = attribute("path").unwrap_or_else(|| "/".to_owned());
        self.cookies.retain(|known| !(known.host == host && known.name == name && known.path == path));
        let over = attribute("max-age").as_deref() == Some("0")
            || attribute("expires").is_some_and(|expires| expires.contains(" 1970 "));
        if !over {
            self.cookies.push(Cookie { host: host.to_owned(), path, name: name.to_owned(), value: value.to_owned() });
        }
    }
}

impl Page {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.body).into_owned()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let value = tag[start..].split('"').next()?;
    Some(value.replace("&amp;", "&"))
}

fn absolute(base: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let host = base.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    format!("http://{host}{location}")
}
