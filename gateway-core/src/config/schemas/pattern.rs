//! Regular expressions of ECMA-262, which JSON Schema speaks, in the words of `regex-lite`.

/// Why an expression cannot be said otherwise: the part of it, and what is wrong with that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Untranslatable {
    pub part: (usize, usize),
    pub message: String,
}

/// The same expression for `regex-lite`. Groups capture nothing: nobody asks what they hold.
pub(super) fn translate(pattern: &str) -> Result<String, Untranslatable> {
    let mut translator = Translator { pattern, at: 0, out: String::with_capacity(pattern.len() * 2) };
    while let Some(c) = translator.take() {
        translator.outside(c)?;
    }
    let built = regex_lite::RegexBuilder::new(&translator.out).size_limit(crate::schema::PATTERN_SIZE).build();
    match built {
        Ok(_) => Ok(translator.out),
        Err(error) => Err(Untranslatable { part: (0, pattern.len()), message: error.to_string() }),
    }
}

struct Translator<'a> {
    pattern: &'a str,
    at: usize,
    out: String,
}

/// Characters as ranges of code points, both ends included.
type Set = Vec<(u32, u32)>;

impl Translator<'_> {
    fn outside(&mut self, c: char) -> Result<(), Untranslatable> {
        let start = self.at - c.len_utf8();
        match c {
            '\\' => match self.escape(start)? {
                Escape::Character(c) => self.literal(c),
                Escape::Set(set) => self.set(&set),
                Escape::Boundary(b) => {
                    self.out.push('\\');
                    self.out.push(b);
                }
            },
            '[' => self.class(start)?,
            '.' => self.set(&complement(&[(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)])),
            '(' => {
                if self.eat("?") {
                    if self.eat("=") || self.eat("!") || self.eat("<=") || self.eat("<!") {
                        return self.wrong(start, "looks ahead or behind, which cannot be done in bounded time");
                    }
                    if self.eat("<") {
                        while self.take().is_some_and(|c| c != '>') {}
                    } else if !self.eat(":") {
                        return self.wrong(start, "is a kind of group that JSON Schema does not have");
                    }
                }
                self.out.push_str("(?:");
            }
            '{' => {
                let rest = &self.pattern[self.at..];
                let end = rest.find('}').filter(|end| {
                    let (least, most) = rest[..*end].split_once(',').unwrap_or((&rest[..*end], ""));
                    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
                    !least.is_empty() && number(least) && number(most)
                });
                match end {
                    Some(end) => {
                        self.out.push('{');
                        self.out.push_str(&rest[..=end]);
                        self.at += end + 1;
                    }
                    None => self.literal('{'),
                }
            }
            '}' | ']' => self.literal(c),
            '*' | '+' | '?' | '|' | '^' | '$' | ')' => self.out.push(c),
            c => self.literal(c),
        }
        Ok(())
    }

    fn class(&mut self, start: usize) -> Result<(), Untranslatable> {
        let negated = self.eat("^");
        let mut set = Set::new();
        // The character before, which a range may begin with.
        let mut before: Option<u32> = None;
        loop {
            let from = self.at;
            let Some(c) = self.take() else { return self.wrong(start, "is never closed") };
            let item = match c {
                ']' => break,
                '\\' if self.eat("b") => Escape::Character('\u{8}'),
                '\\' => self.escape(from)?,
                '-' if before.is_some() && !self.pattern[self.at..].starts_with(']') => {
                    let low = before.take().unwrap_or_default();
                    let from = self.at;
                    let high = match self.take() {
                        Some('\\') if self.eat("b") => Escape::Character('\u{8}'),
                        Some('\\') => self.escape(from)?,
                        Some(c) => Escape::Character(c),
                        None => return self.wrong(start, "is never closed"),
                    };
                    match high {
                        Escape::Character(high) if u32::from(high) >= low => set.push((low, u32::from(high))),
                        Escape::Character(_) => return self.wrong(from, "is a range that ends before it begins"),
                        Escape::Set(more) => {
                            set.extend([(u32::from('-'), u32::from('-'))]);
                            set.extend(more);
                        }
                        Escape::Boundary(_) => return self.wrong(from, "means nothing in a class"),
                    }
                    continue;
                }
                c => Escape::Character(c),
            };
            before = None;
            match item {
                Escape::Character(c) => {
                    set.push((u32::from(c), u32::from(c)));
                    before = Some(u32::from(c));
                }
                Escape::Set(more) => set.extend(more),
                Escape::Boundary(_) => return self.wrong(from, "means nothing in a class"),
            }
        }
        let set = if negated { complement(&set) } else { set };
        self.set(&set);
        Ok(())
    }

    /// What follows a backslash that has been taken.
    fn escape(&mut self, start: usize) -> Result<Escape, Untranslatable> {
        let Some(c) = self.take() else { return self.wrong(start, "ends with half an escape") };
        let digits = [(0x30, 0x39)];
        let word = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)];
        // ECMA-262: WhiteSpace and LineTerminator.
        let space = [
            (0x09, 0x0D),
            (0x20, 0x20),
            (0xA0, 0xA0),
            (0x1680, 0x1680),
            (0x2000, 0x200A),
            (0x2028, 0x2029),
            (0x202F, 0x202F),
            (0x205F, 0x205F),
            (0x3000, 0x3000),
            (0xFEFF, 0xFEFF),
        ];
        Ok(match c {
            'd' => Escape::Set(digits.to_vec()),
            'D' => Escape::Set(complement(&digits)),
            'w' => Escape::Set(word.to_vec()),
            'W' => Escape::Set(complement(&word)),
            's' => Escape::Set(space.to_vec()),
            'S' => Escape::Set(complement(&space)),
            'b' | 'B' => Escape::Boundary(c),
            't' => Escape::Character('\t'),
            'n' => Escape::Character('\n'),
            'r' => Escape::Character('\r'),
            'f' => Escape::Character('\u{c}'),
            'v' => Escape::Character('\u{b}'),
            '0' if !self.pattern[self.at..].starts_with(|c: char| c.is_ascii_digit()) => Escape::Character('\0'),
            'c' => match self.take() {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    Escape::Character(char::from_u32(u32::from(letter) % 32).unwrap_or_default())
                }
                _ => return self.wrong(start, "is no control character"),
            },
            'x' => self.code(start, 2)?,
            'u' if self.eat("{") => {
                let rest = &self.pattern[self.at..];
                let end = rest.find('}').unwrap_or(0);
                let code = u32::from_str_radix(&rest[..end], 16).ok().and_then(char::from_u32);
                self.at += end + 1;
                match code {
                    Some(c) => Escape::Character(c),
                    None => return self.wrong(start, "is no character"),
                }
            }
            'u' => self.code(start, 4)?,
            'p' | 'P' => {
                let rest = &self.pattern[self.at..];
                let end = rest.find('}').filter(|_| rest.starts_with('{')).map_or(0, |end| end + 1);
                let parsed = regex_syntax::Parser::new().parse(&format!("\\p{}", &rest[..end]));
                self.at += end;
                let set: Option<Set> = match parsed.ok().as_ref().map(regex_syntax::hir::Hir::kind) {
                    Some(regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class))) => {
                        Some(class.ranges().iter().map(|range| (range.start().into(), range.end().into())).collect())
                    }
                    _ => None,
                };
                match (set, c) {
                    (Some(set), 'p') => Escape::Set(set),
                    (Some(set), _) => Escape::Set(complement(&set)),
                    (None, _) => return self.wrong(start, "is no property of characters"),
                }
            }
            '1'..='9' | 'k' => {
                return self.wrong(start, "refers back to a group, which cannot be done in bounded time");
            }
            c if c.is_ascii_alphanumeric() => return self.wrong(start, "is an escape that means nothing"),
            c => Escape::Character(c),
        })
    }

    fn code(&mut self, start: usize, digits: usize) -> Result<Escape, Untranslatable> {
        let unit = |pattern: &Self| {
            let text = pattern.pattern.get(pattern.at..pattern.at + digits)?;
            text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(text, 16).ok()).flatten()
        };
        let Some(high) = unit(self) else { return self.wrong(start, "is no character") };
        self.at += digits;
        let mut code = high;
        if (0xD800..0xDC00).contains(&high)
            && self.eat("\\u")
            && let Some(low @ 0xDC00..=0xDFFF) = unit(self)
        {
            self.at += digits;
            code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        }
        match char::from_u32(code) {
            Some(c) => Ok(Escape::Character(c)),
            None => self.wrong(start, "is half a character"),
        }
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&regex_lite::escape(c.encode_utf8(&mut [0; 4])));
    }

    fn set(&mut self, set: &[(u32, u32)]) {
        use std::fmt::Write;
        if set.is_empty() {
            // Nothing at all: no character is both in and out of these.
            self.out.push_str("[^\\x{0}-\\x{10FFFF}]");
            return;
        }
        self.out.push('[');
        for (low, high) in set {
            // Halves of characters are none.
            for (low, high) in [(*low, (*high).min(0xD7FF)), ((*low).max(0xE000), *high)] {
                if low <= high {
                    let _ = write!(self.out, "\\x{{{low:X}}}-\\x{{{high:X}}}");
                }
            }
        }
        self.out.push(']');
    }

    fn take(&mut self) -> Option<char> {
        let c = self.pattern.get(self.at..)?.chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.pattern.get(self.at..).is_some_and(|rest| rest.starts_with(text));
        self.at += if found { text.len() } else { 0 };
        found
    }

    fn wrong<T>(&self, start: usize, message: &str) -> Result<T, Untranslatable> {
        let end = self.at.min(self.pattern.len()).max(start);
        let part = self.pattern.get(start..end).unwrap_or_default();
        Err(Untranslatable { part: (start, end), message: format!("`{part}` {message}") })
    }
}

enum Escape {
    Character(char),
    Set(Set),
    Boundary(char),
}

fn complement(set: &[(u32, u32)]) -> Set {
    let mut sorted = set.to_vec();
    sorted.sort_unstable();
    let mut next = 0;
    let mut out = Set::new();
    for (low, high) in sorted {
        if low > next {
            out.push((next, low - 1));
        }
        next = next.max(high + 1);
    }
    if next <= 0x10_FFFF {
        out.push((next, 0x10_FFFF));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_find_what_they_find_in_ecmascript() {
        for (pattern, finds, misses) in [
            (r"^\d+$", vec!["12"], vec!["", "1a", "١"]),
            (r"^[\w.-]+@[^\s@]+$", vec!["a.b-c@d"], vec!["a@ b", "ä@b"]),
            (r"^\/a\-b\.c$", vec!["/a-b.c"], vec!["/a-bxc"]),
            (r"^(?<year>\d{4})-(\d{2})$", vec!["2026-11"], vec!["2026-1"]),
            (r"^\p{Letter}+$", vec!["äßЖ"], vec!["a1"]),
            (r"^[^\P{Lu}x]$", vec!["A"], vec!["a", "x"]),
            (r"^.$", vec!["a", "\u{85}"], vec!["\n", "\u{2028}", "ab"]),
            (r"^\s$", vec!["\u{feff}", " ", "\u{b}"], vec!["a"]),
            (r"^[\]\[&&\-a~~]{1}$", vec!["]", "&", "-", "~"], vec!["b", "^"]),
            (r"^{a}$", vec!["{a}"], vec!["a"]),
            (r"^[a-]$", vec!["-", "a"], vec!["b"]),
            (r"^\uD83D\uDC32*$", vec!["🐲🐲", ""], vec!["x"]),
            (r"^\u{1F432}\x41\cJ\0$", vec!["🐲A\n\0"], vec![]),
            (r"a$", vec!["a", "ba"], vec!["a\n"]),
            (r"^[^]$", vec!["\n"], vec!["", "ab"]),
            (r"[]", vec![], vec!["", "a"]),
            (r"^a#b$", vec!["a#b"], vec![]),
        ] {
            let regex = regex_lite::Regex::new(&translate(pattern).expect("it can be said")).expect("it is one");
            for text in finds {
                assert!(regex.is_match(text), "{pattern} {text:?}");
            }
            for text in misses {
                assert!(!regex.is_match(text), "{pattern} {text:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        for (pattern, part) in [
            (r"a(?=b)", (1, 4)),
            (r"(?<!a)b", (0, 4)),
            (r"(a)\1", (3, 5)),
            (r"[a", (0, 2)),
            (r"\q", (0, 2)),
            (r"[z-a]", (3, 4)),
            (r"\p{Nonsense}", (0, 12)),
            (r"\ud800", (0, 6)),
            (r"(?i)a", (0, 2)),
            ("\\", (0, 1)),
            ("a{1000}{1000}{1000}", (0, 19)),
            ("(", (0, 1)),
        ] {
            assert_eq!(translate(pattern).expect_err("it cannot be said").part, part, "{pattern}");
        }
    }
}
