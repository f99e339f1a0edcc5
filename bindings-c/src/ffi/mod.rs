//! The border to C: argument types that only C makes, and the calls back into C.
//!
//! Fields are private and there are no constructors: a value of these types comes from a C caller,
//! who answers for it. This is what makes their methods safe to call.

pub(crate) mod callback;
pub(crate) mod panic;
pub(crate) mod text;
