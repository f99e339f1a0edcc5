//! Values of the application as JSON, but for numbers that JSON has no form for: serde writes them as `null`
//! and says nothing.

use std::fmt::Display;

use moorline_core::Raw;
use serde::Serialize;
use serde::ser::{self, Error as _, Serializer};

type Found = serde_json::Error;

/// Writes a value.
///
/// # Errors
/// Those of the value's `Serialize`, and NaN and infinities.
pub(crate) fn json(value: &(impl Serialize + ?Sized)) -> Result<Raw, Found> {
    let raw = Raw::from_value(value)?;
    // Only what holds a null can hold a number that became one.
    if raw.as_str().contains("null") {
        check(value)?;
    }
    Ok(raw)
}

fn check(value: &(impl Serialize + ?Sized)) -> Result<(), Found> {
    value.serialize(Look)
}

/// A serializer that writes nothing.
struct Look;

/// Passes what holds no number with a point.
macro_rules! passed {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(fn $name(self, _: $type) -> Result<(), Found> { Ok(()) })*
    };
}

fn finite(number: impl Display, is_finite: bool) -> Result<(), Found> {
    if is_finite { Ok(()) } else { Err(Found::custom(format!("{number} is no number of JSON"))) }
}

impl Serializer for Look {
    type Ok = ();
    type Error = Found;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    passed! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_i128: i128, serialize_u8: u8, serialize_u16: u16,
        serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_char: char,
        serialize_str: &str, serialize_bytes: &[u8], serialize_unit_struct: &'static str,
    }

    fn serialize_f32(self, number: f32) -> Result<(), Found> {
        finite(number, number.is_finite())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Found> {
        finite(number, number.is_finite())
    }

    fn serialize_none(self) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Found> {
        check(value)
    }

    fn serialize_unit(self) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        check(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Found> {
        check(value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Found> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Found> {
        Ok(self)
    }
}

/// Looks at the members of one kind of composite.
macro_rules! members {
    ($($kind:ident $name:ident ($($key:ty)?)),* $(,)?) => {
        $(impl ser::$kind for Look {
            type Ok = ();
            type Error = Found;

            fn $name<T: Serialize + ?Sized>(
                &mut self,
                $(_: $key,)?
                value: &T,
            ) -> Result<(), Found> {
                check(value)
            }

            fn end(self) -> Result<(), Found> {
                Ok(())
            }
        })*
    };
}

members! {
    SerializeSeq serialize_element (),
    SerializeTuple serialize_element (),
    SerializeTupleStruct serialize_field (),
    SerializeTupleVariant serialize_field (),
    SerializeStruct serialize_field (&'static str),
    SerializeStructVariant serialize_field (&'static str),
}

impl ser::SerializeMap for Look {
    type Ok = ();
    type Error = Found;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, _: &T) -> Result<(), Found> {
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Found> {
        check(value)
    }

    fn end(self) -> Result<(), Found> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Serialize)]
    enum Form {
        Unit,
        One(f32),
        Two(u8, f64),
        Named { number: f64 },
    }

    #[derive(Serialize)]
    struct Wrapped(Option<Vec<Form>>);

    #[test]
    fn a_number_is_found_wherever_it_stands() {
        let wrong = [
            Form::One(f32::NAN),
            Form::Two(1, f64::INFINITY),
            Form::Named { number: f64::NEG_INFINITY },
        ];
        for form in wrong {
            let table = BTreeMap::from([("a", ((), "x", Wrapped(Some(vec![Form::Unit, form]))))]);
            let text = check(&table).unwrap_err().to_string();
            assert!(text.ends_with("is no number of JSON"), "{text}");
        }
        check(&f64::NAN).unwrap_err();
        let right = [Form::Unit, Form::One(0.5), Form::Two(1, -0.0), Form::Named { number: 1e300 }];
        check(&Wrapped(Some(right.into_iter().collect()))).unwrap();
        check(&Raw::parse("[null,1.5]").unwrap()).unwrap();
    }
}
