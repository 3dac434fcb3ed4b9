//! A real OpenID provider (npm `oidc-provider`), and both real runtimes: a user logs in and out with a browser, programs bring
//! its tokens, and it rotates its keys and goes down.

#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here it is waited for real processes")]
#![allow(clippy::panic, reason = "a test")]

use postern_tests::Platform;
use postern_tests::browser::{Browser, Page};
use postern_tests::client::{PATIENCE, exchange, request};
use postern_tests::origin::{Log, Origin, Received, Then};
use postern_tests::provider::{Provider, ROBOT_SECRET};
use postern_tests::running::Running;
use postern_tests::wire::Field;
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn users_log_in_and_out_on_workers() {
    users_log_in_and_out(Platform::Workers);
}

#[test]
fn users_log_in_and_out_on_spin() {
    users_log_in_and_out(Platform::Spin);
}

fn users_log_in_and_out(platform: Platform) {
    let stage = Stage::set(platform);
    let mut browser = stage.browser();

    // The way there: to the provider, its two forms, and back to the page with its query.
    let page = browser.open("http://app.test/orders?page=2&q=%C3%BC").expect("the provider");
    assert!(page.address.starts_with(&format!("{}/interaction/", stage.provider.issuer)), "{}", page.address);
    assert!(stage.log.take().is_empty(), "nobody gets to the origin without a session");
    let page = log_in(&mut browser, &page, "alice");
    assert_eq!((page.address.as_str(), page.seen.status), ("http://app.test/orders?page=2&q=%C3%BC", 200));
    let received = stage.only_request();
    assert_eq!(text(&received, "x-user"), Some("alice".to_owned()));
    assert_eq!(text(&received, "x-email"), Some("alice@example.org".to_owned()), "only the userinfo says that");
    assert_eq!(text(&received, "cookie"), None);
    let first_token = text(&received, "authorization").expect("an access token");

    // A script, and one that would be somebody else.
    assert_eq!(browser.script("http://app.test/orders").expect("an answer").seen.status, 200);
    assert_eq!(stage.browser().script("http://app.test/orders").expect("an answer").seen.status, 401);
    stage.log.take();

    // New tokens come without anybody noticing, again and again: each time with the refresh token that came before.
    let mut token = first_token;
    for _ in 0..3 {
        token = until("another access token", || {
            assert_eq!(browser.look("http://app.test/orders").expect("an answer").seen.status, 200);
            text(&stage.only_request(), "authorization").filter(|now| *now != token)
        });
    }

    // The provider goes down: who is logged in stays, who is not cannot log in.
    stage.provider.tell("down");
    let begun = Instant::now();
    // Longer than its access tokens live.
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(browser.look("http://app.test/orders").expect("an answer").seen.status, 200);
        thread::sleep(Duration::from_millis(300));
    }
    stage.provider.tell("up");
    until("the session to be renewed", || {
        stage.log.take();
        assert_eq!(browser.look("http://app.test/orders").expect("an answer").seen.status, 200);
        text(&stage.only_request(), "authorization").filter(|now| *now != token)
    });

    // What was changed is no session; the provider still knows the user, so that one look at it is enough.
    let mut other = stage.browser();
    let page = other.open("http://app.test/orders").expect("the provider");
    log_in(&mut other, &page, "bob");
    other.tamper("app.test", "login-", |value| {
        // The first character counts the parts of a long session; the next may be an `A` already.
        let (parts, sealed) = value.split_at(1);
        let first = if sealed.starts_with('A') { "B" } else { "A" };
        format!("{parts}{first}{}", &sealed[1..])
    });
    assert_eq!(other.script("http://app.test/orders").expect("an answer").seen.status, 401);
    let page = other.open("http://app.test/orders").expect("the provider, and perhaps back");
    let page = if page.address.contains("/interaction/") { other.submit(&page, &[]).expect("back") } else { page };
    assert_eq!((page.address.as_str(), page.seen.status), ("http://app.test/orders", 200));

    // An attacker's own callback does nothing in another browser (login CSRF).
    let mut attacker = stage.browser();
    let page = attacker.look("http://app.test/orders").expect("a redirect");
    let state = parameter(page.seen.head.text("location").unwrap_or_default(), "state");
    let callback = format!("http://app.test/oauth2/callback?code=stolen&state={state}&iss={}", stage.provider.issuer);
    let mut victim = stage.browser();
    assert_eq!(victim.open(&callback).expect("a problem").seen.status, 400);

    // Out: the page of another site cannot; a form of this one can, and the provider asks once more.
    let cookie = browser.cookie("app.test", "login-").expect("a session");
    let page = browser.post("http://app.test/oauth2/logout").expect("the provider");
    assert!(page.address.starts_with(&format!("{}/session/end", stage.provider.issuer)), "{}", page.address);
    let page = browser.submit(&page, &[("logout", "yes")]).expect("back");
    assert_eq!((page.address.as_str(), page.seen.status), ("http://app.test/goodbye", 200));
    assert_eq!(browser.cookie("app.test", "login-"), None);
    assert_eq!(browser.script("http://app.test/orders").expect("an answer").seen.status, 401);
    let page = browser.open("http://app.test/orders").expect("the provider");
    assert!(page.text().contains("name=\"login\""), "the provider has forgotten the user, too: {}", page.text());

    // A copy of the cookie dies with its tokens: the refresh token has been revoked.
    until("the copied session to end", || {
        let fields = [Field::new("Cookie", format!("{}={cookie}", stage.session_cookie()))];
        (stage.get("app.test", "/orders", &fields) == 401).then_some(())
    });
    stage.stop();
}

#[test]
fn sessions_end_on_workers() {
    sessions_end(Platform::Workers);
}

#[test]
fn sessions_end_on_spin() {
    sessions_end(Platform::Spin);
}

fn sessions_end(platform: Platform) {
    let stage = Stage::set(platform);
    let mut browser = stage.browser();
    let page = browser.open("http://short.test/").expect("the provider");
    let page = log_in(&mut browser, &page, "alice");
    assert_eq!((page.address.as_str(), page.seen.status), ("http://short.test/", 200));
    let page = until("the session to end", || {
        let page = browser.look("http://short.test/").expect("an answer");
        (page.seen.status == 303).then_some(page)
    });
    assert!(page.seen.head.text("location").unwrap_or_default().starts_with(&stage.provider.issuer));

    // A client without a secret, whose refresh tokens are used once each.
    let page = browser.open("http://public.test/a").expect("the provider");
    let page = if page.text().contains("name=\"login\"") {
        log_in(&mut browser, &page, "alice")
    } else {
        browser.submit(&page, &[]).expect("back")
    };
    assert_eq!((page.address.as_str(), page.seen.status), ("http://public.test/a", 200));
    stage.stop();
}

#[test]
fn programs_bring_tokens_on_workers() {
    programs_bring_tokens(Platform::Workers);
}

#[test]
fn programs_bring_tokens_on_spin() {
    programs_bring_tokens(Platform::Spin);
}

fn programs_bring_tokens(platform: Platform) {
    let stage = Stage::set(platform);
    let bearer = |token: &str| [Field::new("Authorization", format!("Bearer {token}"))];

    // A JSON Web Token, whose issuer is found by discovery.
    let old = stage.provider.token(Some("https://api.example"));
    assert_eq!(stage.get("api.test", "/", &bearer(&old)), 200);
    assert_eq!(stage.get("api.test", "/", &bearer(&stage.provider.token(Some("https://other.example")))), 401);
    assert_eq!(stage.get("api.test", "/", &bearer(&format!("{old}x"))), 401);

    // The provider is down: its keys are known, so its tokens count.
    stage.provider.tell("down");
    assert_eq!(stage.get("api.test", "/", &bearer(&old)), 200);
    stage.provider.tell("up");

    // It signs with another key: new tokens count as soon as that is asked for, old ones no longer.
    stage.provider.tell("rotate");
    let new = stage.provider.token(Some("https://api.example"));
    until("the new key to be known", || (stage.get("api.test", "/", &bearer(&new)) == 200).then_some(()));
    assert_eq!(stage.get("api.test", "/", &bearer(&old)), 401, "its key has been withdrawn");

    // An opaque token, about which the provider is asked.
    let opaque = stage.provider.token(None);
    assert_eq!(stage.get("opaque.test", "/", &bearer(&opaque)), 200);
    assert_eq!(stage.get("opaque.test", "/", &bearer("made up")), 401);
    let unknown = stage.provider.token(None);
    stage.provider.tell("down");
    assert_eq!(stage.get("opaque.test", "/", &bearer(&unknown)), 503, "nobody can say whether it is right");
    stage.provider.tell("up");
    assert_eq!(stage.get("opaque.test", "/", &bearer(&unknown)), 200);
    stage.provider.revoke(&unknown);
    until("the revoked token to be refused", || {
        (stage.get("opaque.test", "/", &bearer(&unknown)) == 401).then_some(())
    });
    stage.stop();
}

/// What stands in a log, an answer or a cookie by mistake is found: secrets that are planted everywhere.
#[test]
fn nothing_secret_is_told_on_workers() {
    let stage = Stage::set(Platform::Workers);
    let mut browser = stage.browser();
    let page = browser.open("http://app.test/orders").expect("the provider");
    let mut told = Vec::new();
    for page in [
        log_in(&mut browser, &page, "alice"),
        browser.look("http://app.test/oauth2/callback?code=planted-code&state=planted-state").expect("a problem"),
        browser.look("http://app.test/oauth2/login").expect("a redirect"),
        browser.post("http://app.test/oauth2/logout").expect("the provider"),
    ] {
        if !page.address.starts_with(&stage.provider.issuer) {
            told.push(String::from_utf8_lossy(&page.seen.head.to_bytes()).into_owned());
            told.push(page.text());
        }
    }
    // What goes wrong is logged.
    stage.provider.tell("down");
    let fields = [Field::new("Authorization", "Bearer planted-token")];
    assert_eq!(stage.get("opaque.test", "/", &fields), 503);
    stage.provider.tell("up");
    told.push(stage.gateway.log());
    let secrets = ["planted", CLIENT_SECRET, SESSION_KEY, OLD_SESSION_KEY, ROBOT_SECRET];
    let told = told.join("\n");
    assert!(told.contains("credential-uncertain"), "the log has something to say: {told}");
    for secret in secrets {
        assert!(!told.contains(secret), "`{secret}` is told:\n{told}");
    }
    stage.stop();
}

/// Fills in the provider's forms: who it is, and that the gateway may know.
fn log_in(browser: &mut Browser, page: &Page, user: &str) -> Page {
    let page = browser.submit(page, &[("login", user), ("password", "x")]).expect("the question for consent");
    if page.address.contains("/interaction/") { browser.submit(&page, &[]).expect("back") } else { page }
}

/// Tries until there is something; the provider's tokens live for seconds.
fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(found) = attempt() {
            return found;
        }
        thread::sleep(Duration::from_millis(200));
    }
    panic!("waited in vain for {what}");
}

fn text(received: &Received, name: &str) -> Option<String> {
    received.all(name).next().map(|value| String::from_utf8_lossy(value).into_owned())
}

fn parameter(address: &str, name: &str) -> String {
    let query = address.split('?').nth(1).unwrap_or_default();
    gateway_core::http::parameters(query, name).next().map(std::borrow::Cow::into_owned).unwrap_or_default()
}

const CLIENT_SECRET: &str = "the secret of the client: +/%";
const SESSION_KEY: &str = "the session key of these tests: 7";
const OLD_SESSION_KEY: &str = "the session key before that one: 6";

/// A provider, an origin, and a gateway between them and the browser.
struct Stage {
    provider: Provider,
    log: Arc<Log>,
    _origin: Origin,
    gateway: Running,
}

impl Stage {
    fn set(platform: Platform) -> Self {
        let provider = Provider::start();
        let log = Arc::new(Log::default());
        let origin = Origin::start("origin", log.clone(), |_, exchange| {
            exchange.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
            Ok(Then::Keep)
        });
        let origin = origin.expect("an origin");
        let settings = [
            ("OIDC_SECRET", CLIENT_SECRET),
            ("SESSION_KEY", SESSION_KEY),
            ("OLD_SESSION_KEY", OLD_SESSION_KEY),
            ("ROBOT", ROBOT_SECRET),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let gateway = Running::start(platform, &configuration(&provider.issuer, &origin), &settings);
        Self { provider, log, _origin: origin, gateway: gateway.expect("a gateway") }
    }

    fn browser(&self) -> Browser {
        Browser::new(self.gateway.address, &["app.test", "short.test", "public.test"])
    }

    /// What the origin got since it was last asked.
    fn only_request(&self) -> Received {
        self.log.wait_for_received(1, PATIENCE);
        let mut received = self.log.take();
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    fn get(&self, host: &str, target: &str, fields: &[Field]) -> u16 {
        let message = request("GET", target, host, fields, b"");
        exchange(self.gateway.address, &message, "GET").expect("an answer").status
    }

    /// The name of the session's cookie, as the challenge tells it.
    fn session_cookie(&self) -> String {
        let seen = exchange(self.gateway.address, &request("GET", "/orders", "app.test", &[], b""), "GET");
        let seen = seen.expect("an answer");
        let challenge = seen.head.text("www-authenticate").unwrap_or_default();
        challenge.split('"').nth(1).unwrap_or_default().to_owned()
    }

    fn stop(self) {
        self.gateway.stop().expect("nothing left");
    }
}

fn configuration(issuer: &str, origin: &Origin) -> Value {
    let keys = ["${secret:SESSION_KEY}", "${secret:OLD_SESSION_KEY}"];
    let login = |more: Value| {
        let mut login = json!({
            "issuer": issuer, "client_id": "confidential", "client_secret": "${secret:OIDC_SECRET}", "session_keys": keys,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            login[name] = value.clone();
        }
        json!({ "authenticate": { "any_of": [{ "login": login }] } })
    };
    let offline = json!({
        "scopes": ["openid", "email", "offline_access"], "parameters": { "prompt": "consent" }, "userinfo": true,
        "access_token": true, "headers": { "x-user": "sub", "x-email": "email" }, "after_logout": "/goodbye",
    });
    let public = json!({
        "client_id": "public", "client_secret": null, "scopes": ["openid", "offline_access"],
        "parameters": { "prompt": "consent" },
    });
    let mut public = login(public);
    public
        .pointer_mut("/authenticate/any_of/0/login")
        .and_then(Value::as_object_mut)
        .map(|login| login.remove("client_secret"));
    let jwt = json!({ "jwt": {
        "issuers": { "issuer": issuer, "audiences": "https://api.example", "unknown_key_interval": "1s", "types": "at+jwt" },
    } });
    let introspection = json!({ "introspection": {
        "url": format!("{issuer}/token/introspection"), "client_id": "robot", "client_secret": "${secret:ROBOT}",
        "cache": "1s", "cache_inactive": "1s",
    } });
    json!({
        "upstreams": { "origin": { "targets": [{ "url": format!("http://{}", origin.address) }] } },
        "routes": [
            { "name": "goodbye", "host": "app.test", "path": "/goodbye", "respond": { "body": "goodbye" } },
            { "name": "app", "host": "app.test", "path_prefix": "/", "upstream": "origin", "policies": [{ "csrf": {} }, login(offline)] },
            { "name": "short", "host": "short.test", "upstream": "origin", "policies": [login(json!({ "lifetime": "3s" }))] },
            { "name": "public", "host": "public.test", "upstream": "origin", "policies": [public] },
            { "name": "api", "host": "api.test", "upstream": "origin", "policies": [{ "authenticate": { "any_of": [jwt] } }] },
            { "name": "opaque", "host": "opaque.test", "upstream": "origin",
              "policies": [{ "authenticate": { "any_of": [introspection] } }] },
        ],
    })
}
