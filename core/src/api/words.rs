//! Words of the wires that application code spells too: declared in core, generated for every language.

/// A set of named constants of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct WordTable {
    /// The dialect.
    pub dialect: &'static str,
    /// The set's name in the dialect's own API.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Member and value.
    pub members: &'static [(&'static str, &'static str)],
}

/// A limit of a wire that the application's side checks before it hands something over.
#[derive(Clone, Copy, Debug)]
pub struct WireLimit {
    /// The dialect.
    pub dialect: &'static str,
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// The number.
    pub value: u64,
}
