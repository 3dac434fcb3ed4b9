//! JSON values that stand one behind the other, with or without lines between, or in one array: how clients of JSON send
//! many messages.

/// Cuts a body into values, however it comes. Keeps no more than one that is not whole. Whether a value is one is for
/// whoever reads it; where it ends is known without that.
#[derive(Debug)]
pub struct Values {
    most: usize,
    /// Whether an array stands for its items.
    opens: bool,
    is_array: bool,
    place: Place,
    begun: Vec<u8>,
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the first value.
    Start,
    /// Behind a value, or behind the comma after one.
    Before,
    /// Behind the bracket that opens the array.
    Opened,
    /// In an object or an array.
    Container { depth: usize, in_text: bool, escaped: bool },
    /// In a text that is a value by itself.
    Text { escaped: bool },
    /// In a number or a word.
    Bare,
    /// Behind an item of the array.
    Behind,
    /// Behind the array.
    Over,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bad {
    /// A value has more bytes than are taken.
    TooLarge,
    /// This is no place for what stands there.
    Syntax(&'static str),
}

impl Values {
    /// Values of at most so many bytes each. `opens` says whether an array stands for its items.
    pub fn new(most: usize, opens: bool) -> Self {
        Self { most, opens, is_array: false, place: Place::Start, begun: Vec::new() }
    }

    /// The values that are whole now.
    ///
    /// # Errors
    /// As soon as one is known to be too long, or to stand where there can be none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Bad> {
        let mut values = Vec::new();
        // Where what belongs to the value under way begins.
        let mut from = 0;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let end = match &mut self.place {
                Place::Container { escaped, .. } | Place::Text { escaped } if *escaped => {
                    *escaped = false;
                    None
                }
                Place::Container { depth, in_text, escaped } => {
                    match byte {
                        b'\\' if *in_text => *escaped = true,
                        b'"' => *in_text = !*in_text,
                        b'{' | b'[' if !*in_text => *depth += 1,
                        b'}' | b']' if !*in_text => *depth -= 1,
                        _ => {}
                    }
                    (*depth == 0).then_some(at + 1)
                }
                Place::Text { escaped } => {
                    *escaped = byte == b'\\';
                    (byte == b'"').then_some(at + 1)
                }
                Place::Bare => is_end_of_bare(byte).then_some(at),
                Place::Start | Place::Before | Place::Opened | Place::Behind | Place::Over => {
                    self.between(byte)?;
                    from = at;
                    None
                }
            };
            let Some(end) = end else {
                at += 1;
                continue;
            };
            values.push(self.complete(&bytes[from..end])?);
            (from, at) = (end, end);
        }
        if self.is_inside() {
            self.keep(&bytes[from..])?;
        }
        Ok(values)
    }

    /// The last value, which has no end of its own or lacks it.
    ///
    /// # Errors
    /// Where an array has no end.
    pub fn finish(&mut self) -> Result<Option<Vec<u8>>, Bad> {
        match self.place {
            _ if self.is_inside() && !self.is_array => Ok(Some(std::mem::take(&mut self.begun))),
            Place::Start | Place::Before if !self.is_array => Ok(None),
            Place::Over => Ok(None),
            _ => Err(Bad::Syntax("the array has no end")),
        }
    }

    /// A byte that belongs to no value, or begins one.
    fn between(&mut self, byte: u8) -> Result<(), Bad> {
        if is_space(byte) {
            return Ok(());
        }
        self.place = match (self.place, byte) {
            (Place::Start, b'[') if self.opens => {
                self.is_array = true;
                Place::Opened
            }
            (Place::Opened | Place::Behind, b']') => Place::Over,
            (Place::Behind, b',') => Place::Before,
            (Place::Behind, _) => return Err(Bad::Syntax("there is no comma between two items of the array")),
            (Place::Over, _) => return Err(Bad::Syntax("there is something behind the array")),
            (_, b',' | b']' | b'}' | b':') => return Err(Bad::Syntax("there is no value where one should begin")),
            (_, b'{' | b'[') => Place::Container { depth: 1, in_text: false, escaped: false },
            (_, b'"') => Place::Text { escaped: false },
            _ => Place::Bare,
        };
        Ok(())
    }

    fn is_inside(&self) -> bool {
        matches!(self.place, Place::Container { .. } | Place::Text { .. } | Place::Bare)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Bad> {
        if self.begun.len() + bytes.len() > self.most {
            return Err(Bad::TooLarge);
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }

    fn complete(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Bad> {
        self.keep(bytes)?;
        self.place = if self.is_array { Place::Behind } else { Place::Before };
        Ok(std::mem::take(&mut self.begun))
    }
}

/// Whether a number or a word ends before this byte.
fn is_end_of_bare(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b',' | b']' | b'}' | b'{' | b'[' | b'"' | b':')
}

/// RFC 8259 §2
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn all(text: &str, most: usize, opens: bool) -> Result<Vec<String>, Bad> {
        let mut values = Values::new(most, opens);
        let mut found = values.push(text.as_bytes())?;
        found.extend(values.finish()?);
        Ok(found.into_iter().map(|value| String::from_utf8_lossy(&value).into_owned()).collect())
    }

    #[test]
    fn values_end_where_they_end() {
        for (text, expected) in [
            ("", &[][..]),
            (" \n", &[]),
            ("{}", &["{}"]),
            ("{\"a\":\"}\\\"\"}\n{\"b\":[1]}", &["{\"a\":\"}\\\"\"}", "{\"b\":[1]}"]),
            ("1 true\"x\\\\\"null{}", &["1", "true", "\"x\\\\\"", "null", "{}"]),
            ("[{}, 1,[2]]", &["{}", "1", "[2]"]),
            ("[]", &[]),
            // Whoever reads the last one sees that it is not whole.
            ("{}{\"a\"", &["{}", "{\"a\""]),
        ] {
            let expected = expected.iter().map(|value| (*value).to_owned()).collect();
            assert_eq!(all(text, 99, true), Ok(expected), "{text}");
        }
        assert_eq!(all("[{}, 1]", 99, false), Ok(vec!["[{}, 1]".to_owned()]));
    }

    #[test]
    fn what_stands_where_no_value_can_is_refused() {
        for text in ["[{}", "[", "[1 2]", "[1,]", "[,1]", "[] {}", "}", "1,2", "{}]", ":"] {
            assert!(matches!(all(text, 99, true), Err(Bad::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_refused_before_it_has_come() {
        assert_eq!(all("{}{}{}{}", 2, true), Ok(vec!["{}".to_owned(); 4]));
        assert_eq!(all("[1,123,1]", 2, true), Err(Bad::TooLarge));
        let mut values = Values::new(4, true);
        assert_eq!(values.push(b"{\"a\""), Ok(vec![]));
        assert_eq!(values.push(b":"), Err(Bad::TooLarge));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\], ]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a\"}]{0,3}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_come_out_as_they_went_in(
            values in prop::collection::vec(value(), 0..6),
            is_array: bool,
            sizes in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let body = if is_array {
                serde_json::to_string_pretty(&values).expect("JSON")
            } else {
                values.iter().map(|value| format!("{value}\n")).collect()
            };
            let mut found = Values::new(1 << 10, is_array);
            let mut seen = Vec::new();
            let (mut rest, mut sizes) = (body.as_bytes(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap_or(&1)));
                seen.extend(found.push(piece).expect("values"));
                rest = behind;
            }
            prop_assert_eq!(found.finish(), Ok(None));
            let seen: Vec<Value> =
                seen.iter().map(|value| serde_json::from_slice(value).expect("a value")).collect();
            prop_assert_eq!(seen, values);
        }

        #[test]
        fn whatever_comes_is_cut_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut values = Values::new(16, true);
            if values.push(&bytes).is_ok() {
                let _ = values.finish();
            }
        }
    }
}
