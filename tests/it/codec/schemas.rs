//! The schemas themselves: documented, in step with the Rust types, and compatible with what is out.

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use habitue::codec::{BUILT_IN, SchemaError, SchemaSet};
use habitue::event::{EngagementKind, Input, Reject};
use serde_json::Value;

use super::reference::{schema, text};

#[test]
fn every_record_enum_fixed_and_field_has_a_doc() {
    for built_in in BUILT_IN {
        let schema: Value = serde_json::from_str(built_in.text).unwrap();
        let documented = documented(&schema, built_in.name);
        assert!(documented > 3, "{} was not walked", built_in.name);
    }
}

/// How many docs there are from here down; fails where one is missing.
fn documented(schema: &Value, path: &str) -> usize {
    let doc = |value: &Value, path: &str| {
        let doc = value["doc"].as_str().unwrap_or_default();
        assert!(doc.len() > 3 && doc.ends_with(['.', '}']), "{path} has no doc, or no sentence: {doc:?}");
        1
    };
    match schema {
        Value::Array(branches) => branches.iter().map(|branch| documented(branch, path)).sum(),
        Value::Object(object) => match object["type"].as_str() {
            Some("record") => {
                let fields = object["fields"].as_array().unwrap();
                let of_field = |field: &Value| {
                    let path = format!("{path}.{}", field["name"].as_str().unwrap());
                    doc(field, &path) + documented(&field["type"], &path)
                };
                doc(schema, path) + fields.iter().map(of_field).sum::<usize>()
            }
            Some("enum" | "fixed") => doc(schema, path),
            Some("array") => documented(&object["items"], path),
            _ => 0,
        },
        _ => 0,
    }
}

#[test]
fn the_binary_holds_the_files_of_the_folder_under_distinct_ids() {
    let folder = format!("{}/schemas", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut files: Vec<_> =
        files.filter_map(|name| Some(name.to_str()?.strip_suffix(".avsc")?.to_owned())).collect();
    let mut known: Vec<_> = BUILT_IN.iter().map(|built_in| built_in.name.to_owned()).collect();
    files.sort();
    known.sort();
    assert_eq!(files, known);
    assert!(BUILT_IN.iter().all(|built_in| text(built_in.name) == built_in.text));
    let ids: Vec<_> = BUILT_IN.iter().map(|built_in| built_in.id).collect();
    // 9, 10 and 12 were facts and models before they knew of items, and facts before they knew of churn; 13 was
    // models before some were whole; 14 and 15 had one pair in a fact, and rows without shares; 16 was
    // facts before they told how often items are taken again.
    assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8, 11, 17, 19]);
    assert_eq!(SchemaSet::new::<&str>([]).unwrap().ids().collect::<Vec<_>>(), ids);
}

#[test]
fn a_current_schema_reads_what_its_released_versions_wrote() {
    let released = format!("{}/schemas/released", env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for version in std::fs::read_dir(released).unwrap() {
        for file in std::fs::read_dir(version.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let writer = Schema::parse_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let reader = schema(path.file_stem().unwrap().to_str().unwrap());
            SchemaCompatibility::can_read(&writer, &reader).unwrap();
            checked += 1;
        }
    }
    assert!(checked >= BUILT_IN.len());
}

#[test]
fn enums_have_the_order_of_the_rust_types() {
    let kinds = EngagementKind::ALL.map(|kind| kind.symbol().to_owned());
    assert_eq!(symbols("engagement", "EngagementKind"), kinds);
    assert_eq!(symbols("dead_letter", "RejectReason"), Reject::ALL.map(|reason| reason.name().to_owned()));
    assert_eq!(symbols("journal", "RejectReason"), Reject::ALL.map(|reason| reason.name().to_owned()));
    for schema in ["alert", "score", "recommendation", "dead_letter", "journal"] {
        assert_eq!(symbols(schema, "Input"), Input::ALL.map(|input| input.name().to_owned()));
    }
}

fn symbols(schema: &str, name: &str) -> Vec<String> {
    fn find(value: &Value, name: &str) -> Option<Vec<String>> {
        if value["name"] == name && value["type"] == "enum" {
            let symbols = value["symbols"].as_array()?.iter();
            return Some(symbols.filter_map(|symbol| symbol.as_str().map(str::to_owned)).collect());
        }
        match value {
            Value::Array(items) => items.iter().find_map(|item| find(item, name)),
            Value::Object(items) => items.values().find_map(|item| find(item, name)),
            _ => None,
        }
    }
    find(&serde_json::from_str(&text(schema)).unwrap(), name).unwrap()
}

#[test]
fn a_set_refuses_what_is_no_schema_and_an_id_of_two_meanings() {
    let error = SchemaSet::new([(9_000, "{\"type\": \"recor\"}")]).unwrap_err();
    assert!(matches!(error, SchemaError::Unreadable { id: 9_000, .. }), "{error}");
    let error = SchemaSet::new([(40, "\"string\""), (40, "\"long\"")]).unwrap_err();
    assert_eq!(error, SchemaError::Duplicate { id: 40 });
    SchemaSet::new([(40, "\"string\""), (40, "{\"type\": \"string\"}")]).unwrap();
}
