//! The keywords, by the numbers that stand in the block and by the names that users know.

macro_rules! keywords {
    ($($(#[$attribute:meta])* $name:ident $text:literal,)*) => {
        /// A keyword of a compiled schema. What belongs to each: a number, or the place of a list or a text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Keyword { $($(#[$attribute])* $name,)* }

        impl Keyword {
            /// Every one, in the order of their numbers: what says most about the whole stands first, what asks what the others have seen last.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What users know it by.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

keywords! {
    /// Nothing is right. A number: the keyword that brought this schema.
    False "false",
    /// A number: bits of [`kinds`].
    Type "type",
    /// A text: a JSON list.
    Enum "enum",
    /// A text: JSON.
    Const "const",
    /// A text: a number.
    Minimum "minimum",
    /// A text: a number.
    ExclusiveMinimum "exclusiveMinimum",
    /// A text: a number.
    Maximum "maximum",
    /// A text: a number.
    ExclusiveMaximum "exclusiveMaximum",
    /// A text: a number.
    MultipleOf "multipleOf",
    /// A number.
    MinLength "minLength",
    /// A number.
    MaxLength "maxLength",
    /// A text: a regular expression as `regex-lite` reads it.
    Pattern "pattern",
    /// A number: the place in [`super::format::FORMATS`].
    Format "format",
    /// A number.
    MinItems "minItems",
    /// A number.
    MaxItems "maxItems",
    /// Nothing.
    UniqueItems "uniqueItems",
    /// A number.
    MinProperties "minProperties",
    /// A number.
    MaxProperties "maxProperties",
    /// A list of texts.
    Required "required",
    /// A list: text, place of a list of texts, and so on.
    DependentRequired "dependentRequired",
    /// A schema.
    Ref "$ref",
    /// A list: a schema, the name of its anchor as a number or 0.
    DynamicRef "$dynamicRef",
    /// A list of schemas.
    AllOf "allOf",
    /// A list of schemas.
    AnyOf "anyOf",
    /// A list of schemas.
    OneOf "oneOf",
    /// A schema.
    Not "not",
    /// A list: three schemas, each one higher, 0 for none.
    If "if",
    /// A list: text, schema, and so on.
    DependentSchemas "dependentSchemas",
    /// A list: place of a table of names (each schema one higher) or 0; place of a list of pattern and schema; a schema for
    /// the others, one higher, or 0.
    Properties "properties",
    /// Only names the schema for the others, see [`Keyword::Properties`].
    AdditionalProperties "additionalProperties",
    /// A schema.
    PropertyNames "propertyNames",
    /// A list of schemas.
    PrefixItems "prefixItems",
    /// A list: the first item it is for, a schema.
    Items "items",
    /// A list: a schema, the least and the most items that it takes, whether those count as evaluated.
    Contains "contains",
    /// A schema.
    UnevaluatedItems "unevaluatedItems",
    /// A schema.
    UnevaluatedProperties "unevaluatedProperties",
}

/// The kinds of values as bits.
pub mod kinds {
    /// Their names; the bit of each is its place.
    pub const NAMES: [&str; 7] = ["null", "boolean", "number", "string", "array", "object", "integer"];
    /// `null`
    pub const NULL: u32 = 1;
    /// `true` and `false`
    pub const BOOLEAN: u32 = 1 << 1;
    /// Every number.
    pub const NUMBER: u32 = 1 << 2;
    /// A string.
    pub const STRING: u32 = 1 << 3;
    /// A list.
    pub const ARRAY: u32 = 1 << 4;
    /// An object.
    pub const OBJECT: u32 = 1 << 5;
    /// A number without a fraction.
    pub const INTEGER: u32 = 1 << 6;
}
