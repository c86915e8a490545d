//! What the camera keeps: frames of no class, the images of classes, the history. And what it says of a silent source.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::place::{Running, body, get, until};
use crate::teach::{names, place, post, taught, uploads};

fn json_of(at: &str, path: &str) -> Value {
    serde_json::from_str(body(&get(at, path, ""))).unwrap()
}

#[test]
fn unknown_frames_are_kept_grouped_and_named() {
    let place = place();
    let words = |input: &str| format!("--input {input} --fps 20 --listen 0 --teach a.teach --smooth 1");
    let mut running = Running::start(&place, &words("checks"));
    let at = running.page();
    assert_eq!(json_of(&at, "/api/teach/unknown"), json!([]));
    let lesson = json!({ "class": "across", "images": uploads(&place.path("across")) });
    assert_eq!(post(&at, "images", &lesson).0, 200);
    until(&at, |s| s["label"] == "unknown" && s["unknown"].as_u64() > Some(3));
    running.ends_well();
    // They are there after a restart, with another image before the camera.
    let mut running = Running::start(&place, &words("across"));
    let at = running.page();
    assert_eq!(taught(&at)["classes"][0]["kept"], 12);
    assert!(!taught(&at)["classes"][0]["thumbnails"].as_array().unwrap().is_empty());
    let groups = json_of(&at, "/api/teach/unknown");
    let images = groups[0]["images"].as_array().unwrap();
    assert!(images.len() >= 2 && !images[0]["thumbnail"].as_str().unwrap().is_empty(), "{groups}");
    let ids: Vec<&Value> = images.iter().map(|image| &image["id"]).collect();
    let (code, said) = post(&at, "unknown", &json!({ "class": "checks", "images": ids }));
    assert_eq!((code, said), (200, format!("{{\"new\":{}}}", ids.len())));
    assert_eq!(names(&at), ["across", "checks"]);
    assert_eq!(std::fs::read_dir(place.path("a.teach.images/checks")).unwrap().count(), ids.len());
    let left: Vec<Value> = json_of(&at, "/api/teach/unknown").as_array().unwrap().clone();
    let left: Vec<&Value> =
        left.iter().flat_map(|g| g["images"].as_array().unwrap()).map(|i| &i["id"]).collect();
    assert_eq!(post(&at, "unknown/forget", &json!({ "images": left })).0, 204);
    running.ends_well();
}

#[test]
fn the_networks_own_classes_are_mixed_in_on_the_page() {
    let place = place();
    let mut running = Running::start(&place, "--input down --fps 20 --listen 0 --teach a.teach");
    let at = running.page();
    let lesson = json!({ "class": "across", "images": uploads(&place.path("across")) });
    assert_eq!(post(&at, "images", &lesson).0, 200);
    let own = json!({ "class": null, "images": uploads(&place.path("down")) });
    assert_eq!(post(&at, "images", &own), (200, r#"{"new":12}"#.into()));
    until(&at, |s| s["model"]["classes"] == 2);
    assert_eq!(post(&at, "mix", &json!({ "mixed": true })).0, 204);
    // One that is taught, ten of the network, and unknown.
    until(&at, |s| s["model"]["classes"] == 12 && s["label"].as_str().unwrap_or("").starts_with("class "));
    assert_eq!(post(&at, "rate", &json!({ "percent": 20 })).0, 204);
    let shown = taught(&at);
    assert_eq!((&shown["own"]["mixed"], &shown["unknown"]["asked"]), (&true.into(), &0.2.into()));
    assert_eq!(post(&at, "mix", &json!({ "mixed": false })).0, 204);
    until(&at, |s| s["model"]["classes"] == 2);
    running.ends_well();
}

#[test]
fn the_history_is_searched_and_exported() {
    let place = place();
    let mut running = Running::start(&place, "--input across --fps 20 --listen 0 --teach a.teach");
    let at = running.page();
    until(&at, |s| s["history"].as_u64() >= Some(1));
    let lesson = json!({ "class": "bars, \"across\"", "images": uploads(&place.path("across")) });
    assert_eq!(post(&at, "images", &lesson).0, 200);
    until(&at, |s| s["label"] == "bars, \"across\"" && s["history"].as_u64() >= Some(2));
    let all = json_of(&at, "/api/history");
    let found = json_of(&at, "/api/history?label=BARS");
    assert!(found.as_array().unwrap().len() < all.as_array().unwrap().len(), "{all}");
    assert_eq!((&found[0]["label"], &found[0]["end"]), (&"bars, \"across\"".into(), &Value::Null));
    assert_eq!(json_of(&at, "/api/history?limit=1").as_array().unwrap().len(), 1);
    assert_eq!(json_of(&at, "/api/history?to=1000"), json!([]));
    let table = get(&at, "/api/history.csv?label=bars", "");
    assert!(table.contains("text/csv") && table.contains("labels.csv"), "{table}");
    let lines: Vec<&str> = body(&table).lines().collect();
    assert!(lines[0] == "time,end,label,score" && lines[1].contains(r#","bars, ""across""","#), "{lines:?}");
    for bad in ["from=x", "limit=-3", "labels=x", "from=nan"] {
        let answer = get(&at, &format!("/api/history?{bad}"), "");
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("not understood"), "{answer}");
    }
    running.ends_well();
}

#[test]
fn a_silent_standard_input_is_told() {
    let place = place();
    let mut command = place.command("--input - --format rgb --size 32x32 --listen 0");
    command.stdin(Stdio::piped());
    let mut running = Running::of(command);
    let mut stdin = running.child.stdin.take().unwrap();
    let frame = vec![100; 32 * 32 * 3];
    stdin.write_all(&frame).unwrap();
    let at = running.page();
    until(&at, |s| s["alive"] == true && s["silent"].is_null());
    let silent = until(&at, |s| s["alive"] == false);
    assert!(silent["silent"].as_u64() >= Some(10) && silent["fps"] == 0.0, "{silent}");
    until(&at, |s| s["silent"].as_u64() >= Some(12));
    stdin.write_all(&frame).unwrap();
    until(&at, |s| s["alive"] == true && s["silent"].is_null() && s["classified"] == 2);
    running.ends_well();
}
