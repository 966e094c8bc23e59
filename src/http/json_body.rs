//! Reading JSON bodies strictly: one value, no duplicate keys, not too deep, so that what is checked here is what
//! upstream reads (security.md item 35).

use super::{Call, Error};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Deepest nesting taken.
const DEPTH_MAX: usize = 64;

/// The body as a JSON object. An empty body is an empty object, as upstream's own server reads it.
pub fn object(call: &Call) -> Result<Map<String, Value>, Error> {
    if call.body.is_empty() {
        return Ok(Map::new());
    }
    let content_type = call.header("content-type").unwrap_or("application/json");
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(Error::UnsupportedMediaType);
    }
    let mut reader = serde_json::Deserializer::from_slice(&call.body);
    let value = Strict { depth: 0 }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::bad("invalid_body", "The body must be a JSON object")),
        Err(error) => Err(Error::bad("invalid_body", format!("The body is not valid JSON: {error}"))),
    }
}

/// The body as what is asked for. What is wrong is said with the field's name.
pub fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Error> {
    serde_path_to_error::deserialize(Value::Object(object(call)?)).map_err(|error| {
        let (field, what) = (error.path().to_string(), error.inner());
        let text = if field == "." { what.to_string() } else { format!("{field}: {what}") };
        Error::bad("invalid_body", text)
    })
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            Err(E::custom("nested too deeply"))
        } else {
            Ok(Self { depth: self.depth + 1 })
        }
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(seed)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value_seed(seed)?;
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}
