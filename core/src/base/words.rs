//! Values that have words outside the core: in events, in options, on wires, in traces.

/// Declares an enum each of whose values has a word.
#[doc(hidden)]
#[macro_export]
macro_rules! words {
    (
        $(#[$attribute:meta])+
        pub enum $name:ident {$($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+}
    ) => {
        $(#[$attribute])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every value, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Every word, in the order of the enum.
            pub const WORDS: &[&'static str] = &[$($word),+];

            /// Returns the word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// Finds the value by its word.
            #[must_use]
            pub fn find(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
