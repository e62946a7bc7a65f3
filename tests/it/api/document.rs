//! An OpenAPI document, and whether an answer is as it says: as much of JSON Schema as it uses.

use serde_json::Value;

pub struct Document(Value);

impl Document {
    pub fn read(text: &str) -> Document {
        Document(serde_json::from_str(text).expect("the document is JSON"))
    }

    pub fn paths(&self) -> Vec<&str> {
        let mut paths: Vec<&str> = self.0["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        paths.sort_unstable();
        paths
    }

    /// Method and path of each.
    pub fn operations(&self) -> Vec<(String, String)> {
        let paths = self.0["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |m| (m.clone(), path.clone()))
            })
            .collect()
    }

    /// The path of the document that a request's path is one of.
    pub fn template(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
        let fits = |template: &&str| {
            let names: Vec<&str> = template.split('/').collect();
            names.len() == parts.len()
                && names.iter().zip(&parts).all(|(name, part)| name.starts_with('{') || name == part)
        };
        self.paths()
            .into_iter()
            .find(fits)
            .unwrap_or_else(|| panic!("{path} is not in the document"))
            .to_owned()
    }

    /// Panics where the answer is not one that the document allows.
    pub fn check(&self, method: &str, path: &str, status: u16, body: &Value) {
        let template = self.template(path);
        let operation = &self.0["paths"][&template][method];
        assert!(operation.is_object(), "{method} {template} is not in the document");
        for name in
            path.split_once('?').map_or("", |(_, query)| query).split('&').filter(|part| !part.is_empty())
        {
            let name = name.split('=').next().unwrap();
            let known =
                operation["parameters"].as_array().into_iter().flatten().any(|known| known["name"] == name);
            assert!(known, "{method} {template}: parameter {name} is not in the document");
        }
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{method} {path}: {status} is not in the document: {body}");
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_object()
            && let Err(why) = self.fits(schema, body)
        {
            panic!("{method} {path}: {why}\n{body:#}");
        }
    }

    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name.trim_start_matches('#');
            let schema = self.0.pointer(pointer).ok_or_else(|| format!("{name} is not there"))?;
            return self.fits(schema, value);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let fitting = choices.iter().filter(|choice| self.fits(choice, value).is_ok()).count();
            return if fitting == 1 { Ok(()) } else { Err(format!("{fitting} of its forms fit {value}")) };
        }
        if let Some(values) = schema["enum"].as_array()
            && !values.contains(value)
        {
            return Err(format!("{value} is none of {values:?}"));
        }
        if !has_type(&schema["type"], value) {
            return Err(format!("{value} is not {}", schema["type"]));
        }
        if let Some(items) = schema.get("items") {
            return value.as_array().into_iter().flatten().try_for_each(|item| self.fits(items, item));
        }
        self.object_fits(schema, value)
    }

    fn object_fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) else {
            return Ok(());
        };
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(required) {
                return Err(format!("{required} is missing"));
            }
        }
        fields.iter().try_for_each(|(name, field)| {
            let property = properties.get(name).ok_or_else(|| format!("{name} is not in the document"))?;
            self.fits(property, field).map_err(|why| format!("{name}: {why}"))
        })
    }
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    match wanted {
        Value::Array(types) => types.iter().any(|wanted| has_type(wanted, value)),
        Value::String(name) => match name.as_str() {
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            _ => false,
        },
        _ => true,
    }
}
