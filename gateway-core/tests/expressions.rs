//! Expressions against the specification, against the interpreter of the `cel` crate, and against whoever sends what.

#![cfg(feature = "compile")]
#![allow(clippy::panic)] // A test that cannot go on says so.

use gateway_core::caller::Caller;
use gateway_core::client::Client;
use gateway_core::config::expression::{self, Type};
use gateway_core::consumer::Consumer;
use gateway_core::expression::{Expression, Facts, Value, Why};
use gateway_core::http::{Certificate, Headers, Peer, Scheme};
use gateway_core::request::Line;
use gateway_core::route::Parameters;
use gateway_core::template::{Scope, Settings, View};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

/// A request by alice, with a token.
struct World {
    line: Line,
    client: Client,
    headers: Headers,
    caller: Caller,
    settings: Settings,
}

/// 2025-06-15T15:06:40Z, a Sunday.
const NOW: u64 = 1_750_000_000_000;

impl World {
    fn new(claims: Json) -> Self {
        let block = "x-a\x001\nx-b\x001\nx-b\x002\nx-bad\0\u{80}\ncookie\0a=1; b=2; b=3\ncookie\0c=\"4\"\n";
        // Latin-1, as the wire has it.
        let block: Vec<u8> = block.chars().map(|c| c as u8).collect();
        let headers = Headers::from_block(block);
        let peer = Peer {
            address: Some("::ffff:10.1.2.3".parse().expect("an address")),
            country: Some("DE".into()),
            data_centre: None,
            certificate: Some(Certificate {
                serial: "01".into(),
                der: None,
                fingerprint: "ab".into(),
                subject: "CN=a".into(),
                issuer: "CN=i".into(),
            }),
        };
        let consumer = Consumer { name: "alice".into(), groups: vec!["staff".into()], ..Consumer::default() };
        Self {
            line: Line {
                method: "GET".into(),
                scheme: Scheme::Https,
                authority: "api.example:443".into(),
                host: "api.example".into(),
                path: "/orders/7".into(),
                query: Some("q=a+b%21&r=1&r=2&e=".into()),
            },
            client: Client::resolve(peer, Scheme::Https, &headers, &[]),
            headers,
            caller: Caller {
                consumer: Some(Rc::new(consumer)),
                claims: Rc::new(claims.as_object().cloned().unwrap_or_default()),
                scopes: vec!["read".into(), "write".into()],
                proofs: vec!["jwt"],
                ..Caller::default()
            },
            settings: Settings::new(),
        }
    }

    fn facts(&self) -> Facts<'_> {
        let scope = Scope {
            line: &self.line,
            client: &self.client,
            route: "orders",
            parameters: Parameters::default(),
            settings: &self.settings,
            caller: &self.caller,
            view: View::default(),
        };
        Facts { scope, headers: &self.headers, query: self.line.query.as_deref(), now: NOW }
    }

    fn value(&self, text: &str) -> Result<Json, Why> {
        let (expression, _) = expression::compile(text, &[]).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        // What is evaluated has been through the artefact.
        let frozen = serde_json::to_vec(&expression).expect("JSON");
        let thawed: Expression = serde_json::from_slice(&frozen).expect("what was written is read");
        assert_eq!(thawed, expression);
        thawed.value(&self.facts()).map(|value| plain(&value)).map_err(|fault| fault.why)
    }
}

/// Whole numbers stay whole, so that types show.
fn plain(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::Text(text) => json!(&**text),
        Value::Instant(instant) => json!(instant.to_string()),
        Value::Duration(duration) => json!(duration.to_string()),
        Value::Range(range) => json!(range.to_string()),
        Value::List(list) => (0..list.len()).filter_map(|at| list.get(at)).map(|item| plain(&item)).collect(),
        Value::Map(map) => map
            .keys()
            .into_iter()
            .map(|key| match &key {
                Value::Text(name) => (name.to_string(), map.get(name).ok().flatten().map_or(Json::Null, |v| plain(&v))),
                other => (plain(other).to_string(), Json::Null),
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// After the simple conformance tests of the specification (cel-spec, tests/simple), written down by hand, as far as the
/// language is the one of docs/expressions.md.
#[test]
fn what_the_specification_says() {
    let world = World::new(json!({}));
    for (text, expected) in [
        // basic
        ("0", json!(0)),
        ("-1", json!(-1)),
        ("0x55", json!(85)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.5e-3", json!(0.0015)),
        (r#""""#, json!("")),
        (r#"'\'' + "\"""#, json!("'\"")),
        (r#"r"\n""#, json!("\\n")),
        (r#""\u00e9\U0001F600\x41\101""#, json!("é😀AA")),
        ("\"\"\"a\nb\"\"\"", json!("a\nb")),
        ("null", json!(null)),
        ("[1, 'a', null]", json!([1, "a", null])),
        ("{'a': 1, 'b': [true]}", json!({"a": 1, "b": [true]})),
        ("1 + 2 // a comment", json!(3)),
        // logic: errors are absorbed by what decides
        ("true && false", json!(false)),
        ("false && 1 / 0 == 1", json!(false)),
        ("1 / 0 == 1 && false", json!(false)),
        ("true || 1 / 0 == 1", json!(true)),
        ("1 / 0 == 1 || true", json!(true)),
        ("!true", json!(false)),
        ("true ? 1 : 1 / 0", json!(1)),
        ("false ? 1 / 0 : 2", json!(2)),
        ("true ? (false ? 1 : 2) : 3", json!(2)),
        // integer math
        ("40 + 2", json!(42)),
        ("-5 / 3", json!(-1)),
        ("-5 % 3", json!(-2)),
        ("2 + 3 * 4 - 1", json!(13)),
        ("-(3)", json!(-3)),
        ("--3", json!(3)),
        // fp math
        ("1.5 + 0.25", json!(1.75)),
        ("-4.2 - 0.8", json!(-5.0)),
        ("1.0 / 0.0 > 1e300", json!(true)),
        ("0.0 / 0.0 == 0.0 / 0.0", json!(false)),
        ("0.0 / 0.0 != 0.0 / 0.0", json!(true)),
        // comparisons
        ("1 == 1", json!(true)),
        ("1 == 1.0", json!(true)),
        ("dyn(1) == 'a'", json!(false)),
        ("dyn(null) == false", json!(false)),
        ("[1, 2] == [1.0, 2]", json!(true)),
        ("[1, [2]] == [1, [3]]", json!(false)),
        ("{'a': 1, 'b': 2} == {'b': 2, 'a': 1}", json!(true)),
        ("{'a': 1} == {'a': 2}", json!(false)),
        ("{'a': 1} == {'b': 1}", json!(false)),
        ("{1: 'a'} == {dyn(2): 'a'} || true", json!(true)),
        ("'a' < 'b' && 'Z' < 'a' && 'a' < 'aa'", json!(true)),
        ("false < true", json!(true)),
        ("1 < 1.1 && 1.1 > 1", json!(true)),
        ("9223372036854775807 < 9223372036854775808.0", json!(true)),
        ("9007199254740993 == 9007199254740992.0", json!(false)),
        ("-1 > -1.5", json!(true)),
        ("2 in [1, 2]", json!(true)),
        ("'b' in {'a': 1}", json!(false)),
        ("2.0 in [1, 2]", json!(true)),
        ("dyn('a') in [1, 'a']", json!(true)),
        // lists and maps
        ("[1] + [2] + []", json!([1, 2])),
        ("[7, 8][1]", json!(8)),
        ("[7, 8][dyn(1.0)]", json!(8)),
        ("{'a': 1}['a']", json!(1)),
        ("{'a': {'b': 2}}.a.b", json!(2)),
        ("{true: 'a', 7: 'b'}[7]", json!("b")),
        ("size([1, 2]) + size({'a': 1}) + size('äé')", json!(5)),
        ("'abc'.size()", json!(3)),
        // has
        ("has({'a': 1}.a)", json!(true)),
        ("has({'a': 1}.b)", json!(false)),
        // macros
        ("[1, 2].all(e, e > 0)", json!(true)),
        ("[].all(e, e > 0)", json!(true)),
        ("[1, 0].all(e, 6 / e > 1)", json!("Zero")),
        ("[0, 9].all(e, 6 / e > 1)", json!(false)),
        ("[0, 2].exists(e, 6 / e == 3)", json!(true)),
        ("[0, 2].exists(e, 6 / e == 2)", json!("Zero")),
        ("[].exists(e, true)", json!(false)),
        ("{'a': 1, 'b': 2}.exists(k, k == 'b')", json!(true)),
        ("[1, 2, 2].exists_one(e, e == 1)", json!(true)),
        ("[1, 2, 2].exists_one(e, e == 2)", json!(false)),
        ("[0, 1].exists_one(e, 1 / e == 1)", json!("Zero")),
        ("[1, 2, 3].filter(e, e > 1)", json!([2, 3])),
        ("[1, 2, 3].map(e, e * e)", json!([1, 4, 9])),
        ("[1, 2, 3].map(e, e > 1, e * e)", json!([4, 9])),
        ("{'a': 1}.map(k, k + 'x')", json!(["ax"])),
        ("[[1], [2, 3]].all(l, l.exists(e, e == size(l) || e == 3))", json!(true)),
        ("[1, 2].map(e, [3].map(f, e + f))", json!([[4], [5]])),
        ("[1].exists(e, [2].exists(e, e == 2) && e == 1)", json!(true)),
        // strings
        ("'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')", json!(true)),
        ("'abc'.contains('')", json!(true)),
        ("'hubba'.matches('u.*a')", json!(true)),
        ("'hubba'.matches('^u')", json!(false)),
        ("matches('hubba', 'bb')", json!(true)),
        ("'TacoCat'.lowerAscii() + 'ä'.upperAscii() + 'b'.upperAscii()", json!("tacocatäB")),
        ("'  a '.trim()", json!("a")),
        ("'a,b,,c'.split(',')", json!(["a", "b", "", "c"])),
        ("'äb'.split('')", json!(["ä", "b"])),
        ("['a', 'b'].join('-') + ['c'].join()", json!("a-bc")),
        // conversions
        ("int('-987') + int(-123.456) + int(11.9)", json!(-1099)),
        ("double(123) + double('1.5')", json!(124.5)),
        ("string(123) + string(-4.5e-3) + string(true) + string('a')", json!("123-0.0045truea")),
        ("string(1.0) + string(1e300) + string(-1.0 / 0.0)", json!("11e+300-Inf")),
        ("double('inf')", json!("Conversion")),
        ("bool('true') && !bool('F') && bool(true)", json!(true)),
        ("int(timestamp('2004-09-16T23:59:59Z'))", json!(1_095_379_199)),
        ("string(timestamp('2009-02-13T23:31:30Z'))", json!("2009-02-13T23:31:30Z")),
        ("timestamp(1234567890)", json!("2009-02-13T23:31:30Z")),
        ("string(duration('1h34m'))", json!("5640s")),
        // timestamps
        ("timestamp('2009-02-13T23:31:30Z') + duration('90s')", json!("2009-02-13T23:33:00Z")),
        ("duration('1s') + timestamp('2009-02-13T23:31:30Z')", json!("2009-02-13T23:31:31Z")),
        ("timestamp('2009-02-13T23:31:30Z') - timestamp('2009-02-13T23:00:00Z')", json!("1890s")),
        ("timestamp('2009-02-13T23:31:30Z') - duration('600s') < timestamp('2009-02-13T23:30:00Z')", json!(true)),
        ("duration('1m') == duration('60s') && duration('-1s') < duration('1ms')", json!(true)),
        ("duration('600s') - duration('50s')", json!("550s")),
        ("timestamp('2009-02-13T23:31:30Z').getFullYear()", json!(2009)),
        ("timestamp('2009-02-13T23:31:30Z').getMonth()", json!(1)),
        ("timestamp('2009-02-13T23:31:30Z').getDate()", json!(13)),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfMonth()", json!(12)),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfWeek()", json!(5)),
        ("timestamp('2009-02-13T23:31:30Z').getDayOfYear()", json!(43)),
        ("timestamp('2009-02-13T23:31:30.123456789Z').getMilliseconds()", json!(123)),
        ("timestamp('2009-02-13T23:31:30Z').getDate('+11:00')", json!(14)),
        ("timestamp('2009-02-13T02:00:00Z').getHours('-02:30')", json!(23)),
        ("timestamp('2009-02-13T23:31:30Z').getMinutes() + timestamp('2009-02-13T23:31:30Z').getSeconds()", json!(61)),
        ("duration('3730s').getHours() + duration('3730s').getMinutes()", json!(63)),
        ("duration('3730s').getSeconds()", json!(3730)),
        ("duration('1.234s').getMilliseconds()", json!(234)),
        // faults
        ("1 / 0", json!("Zero")),
        ("1 % 0", json!("Zero")),
        ("9223372036854775807 + 1", json!("Overflow")),
        ("-9223372036854775808 - 1", json!("Overflow")),
        ("5000000000 * 5000000000", json!("Overflow")),
        ("-(-9223372036854775808)", json!("Overflow")),
        ("int(1e99)", json!("Overflow")),
        ("int('x')", json!("Conversion")),
        ("int('')", json!("Conversion")),
        ("bool('yes')", json!("Conversion")),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", json!("Overflow")),
        ("timestamp('now' + '')", json!("Conversion")),
        ("now.getHours('Europe/Berlin')", json!("Conversion")),
        ("[1][1]", json!("Index")),
        ("[1][-1]", json!("Index")),
        ("{'a': 1}.b", json!("Absent")),
        ("{'a': 1}['b']", json!("Absent")),
        ("{'a': 1, 'a': 2}", json!("Repeated")),
        ("dyn('a') + 1", json!("Type")),
        ("dyn(1) && true", json!("Type")),
        ("dyn(1) < 'a'", json!("Type")),
        ("dyn(1).a", json!("Type")),
    ] {
        let found = world.value(text).unwrap_or_else(|why| json!(format!("{why:?}")));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_is_known_of_a_request() {
    let claims = json!({ "tenant": "acme", "level": 3, "half": 0.5, "large": u64::MAX, "nothing": null, "realm": { "roles": ["a"] }, "https://x.example/y": 1, "exp": 1_750_000_600 });
    let world = World::new(claims);
    for (text, expected) in [
        ("request.method + request.scheme + request.host + request.path", json!("GEThttpsapi.example/orders/7")),
        ("request.headers['x-a'] + request.headers['X-A'] + request.headers.cookie", json!("11a=1; b=2; b=3, c=\"4\"")),
        ("request.headers['x-b']", json!("1, 2")),
        ("'x-a' in request.headers && !('x-c' in request.headers)", json!(true)),
        ("'x-bad' in request.headers", json!(true)),
        ("request.headers['x-bad']", json!("NotText")),
        ("request.headers['x-c']", json!("Absent")),
        ("request.headers.exists(name, name.startsWith('x-'))", json!(true)),
        ("size(request.headers)", json!(4)),
        ("request.query.q + request.query.e", json!("a b!")),
        ("request.query.r == '1'", json!("Repeated")),
        ("has(request.query.r) && 'r' in request.query && !has(request.query.x)", json!(true)),
        ("request.query.map(name, name)", json!(["q", "r", "e"])),
        ("request.cookies.a + request.cookies.c", json!("14")),
        ("request.cookies.b", json!("Repeated")),
        ("request.cookies.map(name, name)", json!(["a", "b", "c"])),
        ("client.address", json!("10.1.2.3")),
        ("cidr('10.0.0.0/8').containsIP(client.address)", json!(true)),
        ("['192.0.2.0/24', '10.1.0.0/16'].exists(range, cidr(range).containsIP(client.address))", json!(true)),
        ("cidr('10.0.0.0/8').containsIP('nowhere')", json!("Conversion")),
        ("isIP(client.address) && !isIP('10.1.2')", json!(true)),
        ("client.country", json!("DE")),
        ("has(client.data_centre)", json!(false)),
        ("client.data_centre == 'FRA'", json!("Absent")),
        ("client.data_centre == 'FRA' || client.country == 'DE'", json!(true)),
        ("has(client.certificate) && client.certificate.subject == 'CN=a'", json!(true)),
        ("client.certificate.issuer + client.certificate.fingerprint", json!("CN=iab")),
        ("consumer.name + consumer.groups[0]", json!("alicestaff")),
        ("'staff' in consumer.groups", json!(true)),
        ("has(token.subject)", json!(false)),
        ("claims.tenant", json!("acme")),
        ("claims.level + 1 > 3 && claims.level == 3.0", json!(true)),
        ("claims.half * 2.0", json!(1.0)),
        ("claims.large > 1", json!(true)),
        ("claims.nothing == null && has(claims.nothing)", json!(true)),
        ("'a' in claims.realm.roles", json!(true)),
        ("claims['https://x.example/y'] == 1", json!(true)),
        ("claims.missing == 'x'", json!("Absent")),
        ("has(claims.missing) && claims.missing == 'x'", json!(false)),
        ("has(claims.missing.deeper)", json!("Absent")),
        ("claims.tenant.deeper", json!("Type")),
        ("claims.exists(name, name == 'level')", json!(true)),
        ("scopes.all(scope, scope in ['read', 'write', 'admin'])", json!(true)),
        ("timestamp(claims.exp) - now < duration('15m')", json!(true)),
        ("now.getDayOfWeek() == 0 && now.getFullYear() == 2025", json!(true)),
        ("route.name", json!("orders")),
    ] {
        let found = world.value(text).unwrap_or_else(|why| json!(format!("{why:?}")));
        assert_eq!(found, expected, "{text}");
    }
    let mut nobody = World::new(json!({}));
    nobody.caller = Caller::default();
    for (text, expected) in [
        ("consumer.groups", json!([])),
        ("has(consumer.name) || has(claims.sub) || size(scopes) > 0", json!(false)),
        ("consumer.name == 'alice'", json!("Absent")),
    ] {
        assert_eq!(nobody.value(text).unwrap_or_else(|why| json!(format!("{why:?}"))), expected, "{text}");
    }
}

#[test]
fn a_mistake_is_found_when_the_configuration_is_compiled() {
    let paths = [vec!["tenant", "id"], vec!["tenant"]];
    for (text, place, message, help) in [
        ("claim.tenant == 'a'", "claim", "there is no variable `claim`", "did you mean `claims`?"),
        ("alice == consumer.name", "alice", "there is no variable `alice`", "a text stands in quotes"),
        ("request.methd == 'GET'", "methd", "there is no `request.methd`", "did you mean `request.method`?"),
        ("client.certificate.name == ''", "name", "there is no `client.certificate.name`", "there are `subject`"),
        ("request == null", "request", "`request` is no value by itself", "`method`"),
        ("request.path.size", "size", "a text has no members", ""),
        ("request.path.size()", "", "this is a whole number", ""),
        ("consumer.name", "", "this is a text, and a condition is `true` or `false`", "compare it"),
        ("scopes", "", "this is a list", "ask what is in it"),
        ("scopes == 'read'", "==", "`==` does not go with a list and a text", "… in …"),
        ("request.method == 1", "==", "`==` does not go with a text and a whole number", "int(…)"),
        ("request.method && true", "&&", "`&&` does not go with a text and true or false", "compare the text"),
        (
            "request.path.startswith('/a')",
            "startswith",
            "there is no function `startswith`",
            "did you mean `startsWith`?",
        ),
        ("startsWith(request.path, '/a')", "startsWith", "`startsWith` is not called like this", "….startsWith(…)"),
        ("request.path.isIP()", "isIP", "`isIP` is not called like this", "isIP(…)"),
        ("has(claims)", "", "invalid argument to has() macro", ""),
        ("has(claims.a, claims.b)", "has", "`has` is not called like this", "has(claims.tenant)"),
        ("scopes.exists(true)", "exists", "`exists` is not called like this", "scopes.exists("),
        ("scopes.exists(s, s)", "s", "this is a text, and must be `true` or `false`", ""),
        ("request.path.exists(s, true)", "request.path", "a text has no items", ""),
        ("request.path.matches('(')", "'('", "is not a regular expression", ""),
        ("request.path.matches(claims.pattern)", "claims.pattern", "cannot depend on the request", ""),
        ("request.path.matches('(a{200}){200}')", "'(a{200}){200}'", "", ""),
        ("cidr('10.0.0.0/33').containsIP(client.address)", "'10.0.0.0/33'", "`10.0.0.0/33` is not an address", ""),
        ("now < timestamp('2027-02-30T00:00:00Z')", "'2027-02-30T00:00:00Z'", "is no timestamp", "2027-01-31"),
        ("now - timestamp(0) < duration('1 hour')", "'1 hour'", "is no duration", "1h30m"),
        ("1u == 1u", "1u", "unsigned numbers are not known here", "write `1`"),
        ("b'a' == b'a'", "b'a'", "bytes are not known here", ""),
        ("request.parameters.tenat == 'a'", "tenat", "one of the paths", "did you mean `tenant`?"),
        ("request.parameters['id'] == 'a'", "id", "one of the paths of this route has no parameter `id`", ""),
        ("claims.a = 1", "=", "`=` is not expected here", "write `==`"),
        ("claims.a == 1 & true", "&", "`&` is not expected here", "write `&&`"),
        ("'é' == 'é' && claims.a = 1", "=", "`=` is not expected here", ""),
        ("'é' ==\n'é' && 'é' = 'x'", "=", "`=` is not expected here", ""),
        ("claims.a == ", "", "the expression ends too early", ""),
        ("(claims.a == 1", "", "the expression ends too early", ""),
        ("claims.a == 'x", "", "", ""),
        ("", "", "", ""),
        ("é == 1", "", "", ""),
        ("'é' == claim.x", "claim", "there is no variable `claim`", ""),
        ("'é' == 'é' && claims.x ==\n  claim.y", "claim", "there is no variable `claim`", ""),
        ("Point{x: 1} == null", "", "messages are not known here", ""),
    ] {
        let wrong = match expression::condition(text, &paths) {
            Ok(expression) => panic!("{expression:?} is taken"),
            Err(wrong) => wrong,
        };
        let first = wrong.first().expect("something is wrong");
        let shown = &text[first.part.0..first.part.1];
        assert!(first.message.contains(message), "{text}: {first:?}");
        assert!(first.help.clone().unwrap_or_default().contains(help), "{text}: {first:?}");
        if !place.is_empty() {
            assert_eq!(shown, place, "{text}: {first:?}");
        }
        assert!(!first.message.is_empty() && !first.message.ends_with('.'), "{text}: {first:?}");
    }
    let two = expression::condition("claim.x == 1 && scope == 'a'", &[]).expect_err("two mistakes");
    assert_eq!(two.len(), 2, "{two:?}");
}

#[test]
fn no_expression_stalls_an_instance() {
    let many: Vec<Json> = (0..2000).map(|n| json!(format!("item {n}"))).collect();
    let world = World::new(json!({ "many": many, "long": "x".repeat(60_000) }));
    for text in [
        "claims.many.all(a, claims.many.all(b, a != b || a == b))",
        "claims.many.map(a, claims.many).size() > 0 && claims.many.map(a, claims.many.map(b, b + a)).size() > 0",
        "claims.long.matches('(x*)*y')",
        "[claims.long, claims.long].map(a, a + a + a + a).map(a, a + a + a + a).map(a, a + a + a + a).size() == 2",
        "claims.many.exists(a, claims.many.exists(b, false)) || true",
        "claims.many == claims.many && claims.many.map(a, claims.many == claims.many).size() == 1",
    ] {
        assert_eq!(world.value(text), Err(Why::Exhausted), "{text}");
    }
    // What is reasonable is not touched.
    assert_eq!(world.value("claims.many.exists(a, a == 'item 1999')"), Ok(json!(true)));
    assert_eq!(world.value("claims.long.contains('y') || claims.long.size() == 60000"), Ok(json!(true)));
}

#[test]
fn no_nesting_exhausts_the_stack() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("!", ""), ("-", ""), ("true ? true : ", ""), ("1 + ", ""), ("{1: ", "}")]
    {
        for depth in [10, 40, 200, 2000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            if text.len() > 10_000 {
                continue;
            }
            let _ = expression::compile(&text, &[]);
        }
    }
    let chain = vec!["true"; 400].join(" && ");
    assert!(expression::condition(&chain, &[]).is_ok(), "long is not deep");
    let chain = vec!["claims.a"; 200].join(" + ");
    let wrong = expression::compile(&chain, &[]).expect_err("so deep");
    assert!(wrong[0].message.contains("deep"), "{wrong:?}");
}

// --- the referee ----------------------------------------------------------------------------------------------------

fn their_value(json: &Json) -> cel::Value {
    match json {
        Json::Null => cel::Value::Null,
        Json::Bool(value) => cel::Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(number) => cel::Value::Int(number),
            None => cel::Value::Float(number.as_f64().expect("a number")),
        },
        Json::String(text) => cel::Value::String(text.clone().into()),
        Json::Array(items) => cel::Value::List(Arc::new(items.iter().map(their_value).collect())),
        Json::Object(members) => {
            let map: std::collections::HashMap<String, cel::Value> =
                members.iter().map(|(name, value)| (name.clone(), their_value(value))).collect();
            map.into()
        }
    }
}

static THEIRS: LazyLock<Arc<cel::Env>> = LazyLock::new(|| {
    let mut env = cel::Env::stdlib();
    env.add_extension(cel::extensions::strings).expect("it is not there yet");
    Arc::new(env)
});

/// What the other interpreter makes of it; `None` where it has no value.
fn theirs(text: &str, claims: &Json) -> Option<cel::Value> {
    let mut context = cel::Context::with_env(Arc::clone(&THEIRS));
    context.add_variable_from_value("claims", their_value(claims));
    context.add_variable_from_value("scopes", their_value(&json!(["read", "write"])));
    THEIRS.compile(text).expect("both have the same parser").execute(&context).ok()
}

fn agree(ours: &Json, theirs: &cel::Value) -> bool {
    match (ours, theirs) {
        (Json::Null, cel::Value::Null) => true,
        (Json::Bool(ours), cel::Value::Bool(theirs)) => ours == theirs,
        (Json::Number(ours), cel::Value::Int(theirs)) => ours.as_i64() == Some(*theirs),
        (Json::Number(ours), cel::Value::Float(theirs)) => ours.as_f64() == Some(*theirs),
        // JSON has no numbers that are none.
        (Json::Null, cel::Value::Float(theirs)) => !theirs.is_finite(),
        (Json::String(ours), cel::Value::String(theirs)) => *ours == **theirs,
        (Json::Array(ours), cel::Value::List(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs.iter()).all(|(ours, theirs)| agree(ours, theirs))
        }
        (Json::Object(ours), cel::Value::Map(theirs)) => ours.len() == theirs.map.len(),
        _ => false,
    }
}

/// Texts of expressions of a type, so that most of them get through the check of types.
fn expressions() -> BoxedStrategy<String> {
    let int = prop_oneof![
        Just("0".to_owned()),
        Just("1".to_owned()),
        Just("-7".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("claims.level".to_owned()),
        Just("size(claims.roles)".to_owned()),
        Just("claims.missing".to_owned()),
    ];
    let text = prop_oneof![
        "[a-c]{0,3}".prop_map(|text| format!("'{text}'")),
        Just("claims.tenant".to_owned()),
        Just("claims.realm.name".to_owned()),
        Just("claims.level".to_owned()),
        Just("scopes[0]".to_owned()),
    ];
    let list = prop_oneof![
        Just("claims.roles".to_owned()),
        Just("scopes".to_owned()),
        Just("['a', 'ab']".to_owned()),
        Just("[]".to_owned()),
        Just("claims.realm".to_owned()),
        Just("claims.level".to_owned()),
    ];
    let bool = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("claims.admin".to_owned()),
        Just("has(claims.tenant)".to_owned()),
        Just("has(claims.missing)".to_owned()),
        Just("1 / 0 == 1".to_owned()),
    ];
    let int = int.boxed().prop_recursive(2, 8, 2, |int| {
        prop_oneof![
            (int.clone(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), int.clone())
                .prop_map(|(one, operator, other)| format!("({one} {operator} {other})")),
            int.prop_map(|one| format!("-({one})")),
        ]
    });
    let text = (text, prop::option::of(prop::sample::select(vec![".lowerAscii()", ".upperAscii()", ".trim()"])))
        .prop_map(|(text, change)| format!("{text}{}", change.unwrap_or_default()));
    let leaf = prop_oneof![
        4 => bool,
        2 => (int.clone(), prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]), int)
            .prop_map(|(one, operator, other)| format!("({one} {operator} {other})")),
        2 => (text.clone(), prop::sample::select(vec!["==", "!=", "<", ">="]), text.clone())
            .prop_map(|(one, operator, other)| format!("({one} {operator} {other})")),
        2 => (text.clone(), prop::sample::select(vec!["contains", "startsWith", "endsWith"]), text.clone())
            .prop_map(|(one, function, other)| format!("{one}.{function}({other})")),
        2 => (text.clone(), list.clone()).prop_map(|(text, list)| format!("({text} in {list})")),
        1 => (text, prop::sample::select(vec!["^a", "[bc]+$", "a|b", ""]))
            .prop_map(|(text, pattern)| format!("{text}.matches('{pattern}')")),
    ];
    leaf.boxed()
        .prop_recursive(4, 24, 3, move |bool| {
            prop_oneof![
                (bool.clone(), prop::sample::select(vec!["&&", "||"]), bool.clone())
                    .prop_map(|(one, operator, other)| format!("({one} {operator} {other})")),
                bool.clone().prop_map(|one| format!("!({one})")),
                (bool.clone(), bool.clone(), bool.clone())
                    .prop_map(|(condition, yes, no)| format!("({condition} ? {yes} : {no})")),
                (list.clone(), prop::sample::select(vec!["all", "exists", "exists_one"]), bool.clone(), any::<bool>())
                    .prop_map(|(list, each, test, with)| {
                        let item = if with { " || e == 'a'" } else { " && e != claims.tenant" };
                        format!("{list}.{each}(e, {test}{item})")
                    }),
                (list.clone(), bool)
                    .prop_map(|(list, test)| { format!("({list}.filter(e, {test}).map(e, e == 'a') == [true])") }),
            ]
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_referee_agrees(text in expressions(), missing in any::<bool>(), admin in prop::sample::select(vec![json!(true), json!(false), json!("x"), json!(null)])) {
        let mut claims = json!({ "tenant": "ab", "level": 3, "roles": ["a", "b", 7], "realm": { "name": "abc", "a": 1 }, "admin": admin });
        if missing {
            claims.as_object_mut().expect("an object").remove("tenant");
        }
        // What the types forbid is not evaluated at all.
        if let Ok((expression, kind)) = expression::compile(&text, &[]) {
            prop_assert!(matches!(kind, Type::Bool | Type::Any));
            let world = World::new(claims.clone());
            let ours = expression.value(&world.facts()).map(|value| plain(&value)).map_err(|fault| fault.why);
            let theirs = theirs(&text, &claims);
            match (&ours, &theirs) {
                (Ok(ours), Some(theirs)) => prop_assert!(agree(ours, theirs), "{}: {} here, {:?} there", text, ours, theirs),
                (Err(_), None) | (Err(Why::Exhausted), _) => {}
                _ => prop_assert!(false, "{}: {:?} here, {:?} there", text, ours, theirs),
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~é\n]{0,60}") {
        let _ = expression::compile(&text, &[]);
    }

    #[test]
    fn any_tokens_are_read_or_refused(tokens in prop::collection::vec(prop::sample::select(vec![
        "claims", ".", "tenant", "(", ")", "[", "]", "{", "}", ",", ":", "?", "==", "&&", "||", "!", "-", "+", "1", "1.5", "'a'", "has", "in",
        "scopes", "exists", "e", "true", "null", "request", "path", "matches", "1u", "b'x'", "\"", "size", "timestamp", "now", "é", "// x\n", "@result",
        "`a`", "return", "all", "map", "filter", "dyn", "cidr",
    ]), 0..25)) {
        let text = tokens.join(" ");
        for text in [text.clone(), text.replace(' ', "")] {
            match expression::compile(&text, &[]) {
                Ok((expression, _)) => drop(expression.value(&World::new(json!({ "tenant": "a" })).facts())),
                Err(wrong) => for wrong in wrong {
                    prop_assert!(text.get(wrong.part.0..wrong.part.1).is_some(), "{:?} is not in {}", wrong, text);
                },
            }
        }
    }
}
