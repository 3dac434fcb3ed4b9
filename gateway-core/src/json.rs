//! A JSON text as it was sent: read once, within limits and without recursion, and kept as a flat list of its parts.
//!
//! Strict by RFC 8259, and by RFC 7493 where two readers could differ: half a surrogate pair is refused, and so are two
//! members of one name where the limits say so. A number stays the text that it was: no precision is lost.

use std::borrow::Cow;

/// How much a text may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// How deep lists and objects may stand in each other; `[]` is 1.
    pub depth: u32,
    /// Members of one object.
    pub members: u32,
    /// Items of one list.
    pub items: u32,
    /// Characters of one string.
    pub text: u32,
    /// Characters of one member's name.
    pub name: u32,
    /// Whether an object may have two members of one name.
    pub duplicates: bool,
}

impl Limits {
    /// What is read where nothing else is said: as deep as few need, and each name once.
    pub const USUAL: Self =
        Self { depth: 64, members: u32::MAX, items: u32::MAX, text: u32::MAX, name: u32::MAX, duplicates: false };
}

/// Whether a reader that ignores the case of names, as those of Go and .NET do, takes one for the other. The two letters beyond
/// ASCII that fold into it count as what they become: `ſ` (U+017F) and the sign for Kelvin (U+212A).
pub fn is_same_without_case(name: &str, known: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(known.chars().map(fold))
}

/// Why a text was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not JSON from this byte on.
    Syntax(usize),
    /// It is deeper than the limit.
    Depth,
    /// An object has more members than the limit.
    Members,
    /// A list has more items than the limit.
    Items,
    /// A string is longer than the limit.
    Text,
    /// A name is longer than the limit.
    Name,
    /// An object has two members of one name.
    Duplicate,
}

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// A string that is a value.
    Text,
    /// A list; its items follow it.
    List,
    /// An object; each member's name follows, and the value that it has.
    Object,
    /// The name of a member; the part after it is its value.
    Name,
}

/// One part of a text.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// What it is.
    kind: Kind,
    /// Whether its text has no escapes.
    plain: bool,
    /// Its place in the text; of strings, what is between the quotes.
    start: u32,
    end: u32,
    /// The part after this and all that is in it.
    next: u32,
}

/// A text and its parts. A part is known by its number; 0 is the whole.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a> {
    text: &'a str,
    parts: &'a [Part],
}

/// Reads a text.
pub fn read(text: &str, limits: &Limits) -> Result<Vec<Part>, Refused> {
    if u32::try_from(text.len()).is_err() {
        return Err(Refused::Syntax(0));
    }
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, limits, parts: Vec::with_capacity(text.len() / 16) };
    reader.whole()?;
    Ok(reader.parts)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    limits: &'a Limits,
    parts: Vec<Part>,
}

/// A list or an object whose end has not come yet.
struct Open {
    part: usize,
    count: u32,
    object: bool,
}

impl Reader<'_> {
    fn whole(&mut self) -> Result<(), Refused> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            // A value begins here.
            self.space();
            let start = self.at;
            let object = match self.peek() {
                Some(b'{') => Some(true),
                Some(b'[') => Some(false),
                Some(b'"') => {
                    self.string(Kind::Text)?;
                    None
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    None
                }
                Some(b't') => self.word("true", Kind::Bool)?,
                Some(b'f') => self.word("false", Kind::Bool)?,
                Some(b'n') => self.word("null", Kind::Null)?,
                _ => return Err(Refused::Syntax(start)),
            };
            if let Some(object) = object {
                if open.len() as u64 >= u64::from(self.limits.depth) {
                    return Err(Refused::Depth);
                }
                self.at += 1;
                open.push(Open { part: self.parts.len(), count: 0, object });
                self.part(if object { Kind::Object } else { Kind::List }, true, start, start);
                self.space();
                match (object, self.peek()) {
                    (true, Some(b'}')) | (false, Some(b']')) => {}
                    (true, _) => {
                        if let Some(inner) = open.last_mut() {
                            self.member(inner)?;
                        }
                        continue;
                    }
                    (false, _) => {
                        if let Some(inner) = open.last_mut() {
                            self.item(inner)?;
                        }
                        continue;
                    }
                }
            }
            // A value has ended, or an empty list or object is about to.
            loop {
                self.space();
                let Some(inner) = open.last_mut() else {
                    return if self.at == self.bytes.len() { Ok(()) } else { Err(Refused::Syntax(self.at)) };
                };
                match (inner.object, self.peek()) {
                    (true, Some(b',')) => {
                        self.at += 1;
                        self.space();
                        self.member(inner)?;
                        break;
                    }
                    (false, Some(b',')) => {
                        self.at += 1;
                        self.item(inner)?;
                        break;
                    }
                    (true, Some(b'}')) | (false, Some(b']')) => {
                        self.at += 1;
                        let (part, count, object) = (inner.part, inner.count, inner.object);
                        open.pop();
                        let next = self.count();
                        if let Some(part) = self.parts.get_mut(part) {
                            (part.next, part.end) = (next, u32::try_from(self.at).unwrap_or(u32::MAX));
                        }
                        if object && count > 1 && !self.limits.duplicates {
                            self.unique(part, count)?;
                        }
                    }
                    _ => return Err(Refused::Syntax(self.at)),
                }
            }
        }
    }

    fn item(&mut self, list: &mut Open) -> Result<(), Refused> {
        list.count = list.count.saturating_add(1);
        if list.count > self.limits.items { Err(Refused::Items) } else { Ok(()) }
    }

    fn member(&mut self, object: &mut Open) -> Result<(), Refused> {
        object.count = object.count.saturating_add(1);
        if object.count > self.limits.members {
            return Err(Refused::Members);
        }
        if self.peek() != Some(b'"') {
            return Err(Refused::Syntax(self.at));
        }
        self.string(Kind::Name)?;
        self.space();
        if self.peek() != Some(b':') {
            return Err(Refused::Syntax(self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn unique(&self, object: usize, count: u32) -> Result<(), Refused> {
        const FEW: u32 = 8;
        let json = Json { text: self.text, parts: &self.parts };
        let object = u32::try_from(object).unwrap_or(u32::MAX);
        let twice = if count <= FEW {
            json.members(object).any(|(name, _)| {
                json.members(object)
                    .take_while(|(other, _)| *other < name)
                    .any(|(other, _)| json.text(other) == json.text(name))
            })
        } else {
            let mut names: Vec<_> = json.members(object).map(|(name, _)| json.text(name)).collect();
            names.sort_unstable();
            names.windows(2).any(|pair| pair[0] == pair[1])
        };
        if twice { Err(Refused::Duplicate) } else { Ok(()) }
    }

    fn string(&mut self, kind: Kind) -> Result<(), Refused> {
        self.at += 1;
        let start = self.at;
        let (mut plain, mut characters) = (true, 0u32);
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    plain = false;
                    self.escape()?;
                    characters = characters.saturating_add(1);
                }
                None | Some(0..=0x1F) => return Err(Refused::Syntax(self.at)),
                Some(byte) => {
                    self.at += 1;
                    // The bytes after a character's first are no character more.
                    characters = characters.saturating_add(u32::from(byte & 0xC0 != 0x80));
                }
            }
        }
        let (most, refused) = match kind {
            Kind::Name => (self.limits.name, Refused::Name),
            _ => (self.limits.text, Refused::Text),
        };
        if characters > most {
            return Err(refused);
        }
        self.part(kind, plain, start, self.at);
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Refused> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let Some((_, length)) = code(&self.bytes[start..]) else { return Err(Refused::Syntax(start)) };
                self.at = start + length;
                Ok(())
            }
            _ => Err(Refused::Syntax(start)),
        }
    }

    fn number(&mut self) -> Result<(), Refused> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.part(Kind::Number, true, start, self.at);
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Refused> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(Refused::Syntax(start)) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Option<bool>, Refused> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word.as_bytes()) {
            return Err(Refused::Syntax(start));
        }
        self.at += word.len();
        self.part(kind, true, start, self.at);
        Ok(None)
    }

    fn part(&mut self, kind: Kind, plain: bool, start: usize, end: usize) {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let next = self.count() + 1;
        self.parts.push(Part { kind, plain, start: place(start), end: place(end), next });
    }

    /// There are never more parts than bytes, and those fit.
    fn count(&self) -> u32 {
        u32::try_from(self.parts.len()).unwrap_or(u32::MAX)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }
}

/// What stands between the quotes of a string, read: RFC 8259 §7. `None` where something is escaped in no way that there is.
pub fn unescaped(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, length) = match rest.as_bytes().get(1)? {
            b'u' => code(rest.as_bytes())?,
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            same @ (b'"' | b'\\' | b'/') => (char::from(*same), 2),
            _ => return None,
        };
        text.push(character);
        rest = &rest[length..];
    }
    text.push_str(rest);
    Some(text)
}

/// The character that `\uXXXX` stands for, or a pair of them, and how many bytes that takes. Half a pair is none.
fn code(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0u32, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    };
    match unit(0)? {
        high @ 0xD800..=0xDBFF => match unit(6)? {
            low @ 0xDC00..=0xDFFF => Some((char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?, 12)),
            _ => None,
        },
        unit => Some((char::from_u32(unit)?, 6)),
    }
}

impl<'a> Json<'a> {
    /// A text with what [`read`] made of it.
    pub fn new(text: &'a str, parts: &'a [Part]) -> Self {
        Self { text, parts }
    }

    /// How many parts there are.
    pub fn len(self) -> usize {
        self.parts.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(self) -> bool {
        self.parts.is_empty()
    }

    /// What a part is.
    pub fn kind(self, part: u32) -> Kind {
        self.parts.get(part as usize).map_or(Kind::Null, |part| part.kind)
    }

    /// The part after this and all that is in it.
    pub fn next(self, part: u32) -> u32 {
        self.parts.get(part as usize).map_or(u32::MAX, |part| part.next)
    }

    /// The bytes that a part was written with; of a string what is between its quotes.
    pub fn raw(self, part: u32) -> &'a str {
        self.parts
            .get(part as usize)
            .and_then(|part| self.text.get(part.start as usize..part.end as usize))
            .unwrap_or("")
    }

    /// The bytes that a part was written with, of a string with its quotes.
    pub fn whole(self, part: u32) -> &'a str {
        let Some(found) = self.parts.get(part as usize) else { return "" };
        let quotes = usize::from(matches!(found.kind, Kind::Text | Kind::Name));
        let (start, end) = ((found.start as usize).saturating_sub(quotes), (found.end as usize) + quotes);
        self.text.get(start..end).unwrap_or("")
    }

    /// The text of a string or a name.
    pub fn text(self, part: u32) -> Cow<'a, str> {
        let raw = self.raw(part);
        if self.parts.get(part as usize).is_none_or(|part| part.plain) {
            return raw.into();
        }
        // What was read was sound.
        unescaped(raw).map_or(raw.into(), Cow::Owned)
    }

    /// The items of a list.
    pub fn items(self, list: u32) -> impl Iterator<Item = u32> + use<'a> {
        let end = self.next(list);
        let first = list + 1;
        std::iter::successors((first < end).then_some(first), move |item| {
            Some(self.next(*item)).filter(|next| *next < end)
        })
    }

    /// The members of an object: name and value.
    pub fn members(self, object: u32) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        let end = self.next(object);
        let first = object + 1;
        std::iter::successors((first < end).then_some(first), move |name| {
            Some(self.next(*name + 1)).filter(|next| *next < end)
        })
        .map(|name| (name, name + 1))
    }

    /// Where a part is, as a JSON Pointer (RFC 6901). A name's place is its value's. Long ones end early, at something
    /// that holds the part.
    pub fn pointer(self, part: u32) -> String {
        const LONGEST: usize = 256;
        let mut pointer = String::new();
        let mut at = 0;
        while at < part && part < self.next(at) {
            let (step, below) = match self.kind(at) {
                Kind::List => {
                    let found = self.items(at).enumerate().find(|(_, item)| part < self.next(*item));
                    let Some((index, item)) = found else { break };
                    (index.to_string(), item)
                }
                Kind::Object => {
                    let Some((name, value)) = self.members(at).find(|(_, value)| part < self.next(*value)) else {
                        break;
                    };
                    (self.text(name).replace('~', "~0").replace('/', "~1"), value)
                }
                Kind::Null | Kind::Bool | Kind::Number | Kind::Text | Kind::Name => break,
            };
            if pointer.len() + 1 + step.len() > LONGEST {
                break;
            }
            pointer.push('/');
            pointer.push_str(&step);
            at = below;
        }
        pointer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, limits: Limits) -> Option<Refused> {
        read(text, &limits).err()
    }

    #[test]
    fn what_is_json_and_what_is_not() {
        for text in
            ["1", " [ ] ", "{}", "[1,-0.5e+3,\"\\ud83d\\ude00\",true,false,null,{\"a\":[{}]}]", "\"\u{7f}é\"", "1e999"]
        {
            assert_eq!(refused(text, Limits::USUAL), None, "{text}");
        }
        for (text, at) in [
            ("", 0),
            ("[", 1),
            ("[1,]", 3),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("01", 1),
            ("1.", 2),
            ("+1", 0),
            (".5", 0),
            ("1 2", 2),
            ("\"\n\"", 1),
            ("\"\\x\"", 1),
            ("\"\\ud800\"", 1),
            ("\"\\udc00\"", 1),
            ("\"\\ud800\\u0041\"", 1),
            ("nul", 0),
            ("[}", 1),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("]", 0),
            ("NaN", 0),
            ("'a'", 0),
            ("[1 2]", 3),
            ("\u{feff}1", 0),
            ("\"", 1),
            ("1e", 2),
            ("-", 1),
        ] {
            assert_eq!(refused(text, Limits::USUAL), Some(Refused::Syntax(at)), "{text}");
        }
    }

    #[test]
    fn limits_hold_at_their_edge() {
        let limits = Limits { depth: 2, members: 2, items: 2, text: 3, name: 3, duplicates: false };
        for (text, expected) in [
            ("[[]]", None),
            ("[[[]]]", Some(Refused::Depth)),
            ("[{\"a\":[]}]", Some(Refused::Depth)),
            ("[1,2]", None),
            ("[1,2,3]", Some(Refused::Items)),
            (r#"{"a":1,"b":2}"#, None),
            (r#"{"a":1,"b":2,"c":3}"#, Some(Refused::Members)),
            (r#""äöü""#, None),
            (r#""a\u00e4\n""#, None),
            (r#""abcd""#, Some(Refused::Text)),
            (r#"{"abc":1}"#, None),
            (r#"{"abcd":1}"#, Some(Refused::Name)),
            (r#"{"a":1,"\u0061":2}"#, Some(Refused::Duplicate)),
        ] {
            assert_eq!(refused(text, limits), expected, "{text}");
        }
        let many: String = (0..20).map(|n| format!("\"k{n}\":0,")).collect();
        assert_eq!(refused(&format!("{{{many}\"k7\":1}}"), Limits::USUAL), Some(Refused::Duplicate));
        assert_eq!(refused(&format!("{{{many}\"z\":1}}"), Limits::USUAL), None);
        assert_eq!(refused(r#"{"a":1,"a":2}"#, Limits { duplicates: true, ..Limits::USUAL }), None);
        // A million brackets are no deeper for the reader than two.
        assert_eq!(
            refused(&"[".repeat(1_000_000), Limits { depth: u32::MAX, ..Limits::USUAL }),
            Some(Refused::Syntax(1_000_000))
        );
    }

    #[test]
    fn parts_are_found_and_named() {
        let text = r#"{"a":[1,{"b/c~":"\u00e9\t"}],"d":null}"#;
        let parts = read(text, &Limits::USUAL).expect("it is JSON");
        let json = Json::new(text, &parts);
        let (_, list) = json.members(0).next().expect("there is a member");
        let inner = json.items(list).nth(1).expect("there is an item");
        let (name, value) = json.members(inner).next().expect("there is a member");
        assert_eq!((json.text(name).as_ref(), json.text(value).as_ref()), ("b/c~", "é\t"));
        assert_eq!(json.pointer(value), "/a/1/b~1c~0");
        assert_eq!((json.pointer(0), json.pointer(list)), (String::new(), "/a".into()));
        assert_eq!(json.members(0).count(), 2);
    }
}
