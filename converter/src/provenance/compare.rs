//! Which inputs differ from the recorded ones.

use std::collections::HashMap;

use super::{EXTERNAL, ModelSource, Provenance};

/// The most images that are named.
const MOST_NAMED: usize = 10;

/// One sentence for each input that is not the recorded one. `names` are those of the images that were read now, in their
/// order; they name the images that differ. The version of the converter is not compared.
pub fn differences(recorded: &Provenance, now: &Provenance, names: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(model(&recorded.model, &now.model));
    found.extend(files(recorded, now));
    found.extend(flags(recorded, now));
    found.extend(images(recorded, now, names));
    found
}

fn model(recorded: &ModelSource, now: &ModelSource) -> Option<String> {
    if recorded.from != now.from {
        return Some(format!(
            "model: {} is not where the recorded model, {}, came from",
            now.name, recorded.name
        ));
    }
    if recorded.sha256 != now.sha256 {
        return Some(format!(
            "model: {} has the SHA-256 {}; recorded is {}, with {}",
            now.name, now.sha256, recorded.name, recorded.sha256
        ));
    }
    if recorded.exported != now.exported {
        let hash = |exported: &Option<String>| exported.clone().unwrap_or_else(|| "none".into());
        return Some(format!(
            "model: {} is the recorded one, but its framework exports another ONNX file (SHA-256 {}; recorded is {}). \
             Export with the versions of the framework that were used then",
            now.name,
            hash(&now.exported),
            hash(&recorded.exported)
        ));
    }
    (recorded.name != now.name).then(|| {
        format!(
            "model: {} has the recorded content under another name; the archive contains the name {}",
            now.name, recorded.name
        )
    })
}

fn files(recorded: &Provenance, now: &Provenance) -> Vec<String> {
    let of = |provenance: &Provenance, role: &str| -> Vec<String> {
        provenance.files.iter().filter(|file| file.role == role).map(|file| file.sha256.clone()).collect()
    };
    let mut roles: Vec<&str> = recorded.files.iter().chain(&now.files).map(|file| &file.role[..]).collect();
    roles.sort_unstable();
    roles.dedup();
    let mut found = Vec::new();
    for role in roles {
        let what = if role == EXTERNAL { "the model's external data".into() } else { format!("--{role}") };
        let (then, now) = (of(recorded, role), of(now, role));
        match (&then[..], &now[..]) {
            (then, now) if then == now => {}
            ([], _) => found.push(format!("{what}: given now, but not recorded")),
            (_, []) => {
                found.push(format!("{what}: recorded, but not given now (SHA-256 {})", then.join(", ")))
            }
            _ => found.push(format!(
                "{what}: the SHA-256 is {}; recorded is {}",
                now.join(", "),
                then.join(", ")
            )),
        }
    }
    found
}

fn flags(recorded: &Provenance, now: &Provenance) -> Vec<String> {
    let mut names: Vec<&String> = recorded.flags.keys().chain(now.flags.keys()).collect();
    names.sort();
    names.dedup();
    let value = |provenance: &Provenance, name: &str| match provenance.flags.get(name) {
        Some(value) => format!("{value:?}"),
        None => "not given".into(),
    };
    names
        .into_iter()
        .filter(|name| recorded.flags.get(*name) != now.flags.get(*name))
        .map(|name| format!("--{name}: {}; recorded is {}", value(now, name), value(recorded, name)))
        .collect()
}

fn images(recorded: &Provenance, now: &Provenance, names: &[String]) -> Vec<String> {
    let (then, now) = (&recorded.images, &now.images);
    let mut found = Vec::new();
    if then.classes != now.classes {
        found.push(
            "images: the class folders have other names than the recorded ones, or there are others".into(),
        );
    }
    if then.sha256 == now.sha256 {
        let counts = |set: &super::ImageSet| (set.from, set.calibration, set.check);
        if counts(then) != counts(now) {
            found.push(format!(
                "images: {} calibrate and {} check; recorded are {} and {}",
                now.calibration, now.check, then.calibration, then.check
            ));
        }
        return found;
    }
    let before = found.len();
    // How often each image is recorded, less how often it was read.
    let mut left: HashMap<&str, usize> = HashMap::new();
    then.digits().for_each(|digits| *left.entry(digits).or_default() += 1);
    let mut new = Vec::new();
    for (i, digits) in now.digits().enumerate() {
        match left.get_mut(digits).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None => new.push(names.get(i).cloned().unwrap_or_else(|| format!("number {}", i + 1))),
        }
    }
    let missing: usize = left.values().sum();
    if !new.is_empty() {
        let more = new.len().saturating_sub(MOST_NAMED);
        new.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        found.push(format!("images: changed, renamed or new: {}{more}", new.join(", ")));
    }
    if missing > 0 {
        found.push(format!(
            "images: {missing} of the {} recorded are not there with the same name and content",
            then.digits().count()
        ));
    }
    if found.len() == before {
        found.push("images: the recorded ones, but in another order".into());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{File, From, ImageHash, ImageSet, sample};
    use super::*;

    fn said(change: impl FnOnce(&mut Provenance)) -> String {
        let mut now = sample();
        change(&mut now);
        differences(&sample(), &now, &["a.png".into(), "c.png".into()]).join("\n")
    }

    #[test]
    fn equal_inputs_do_not_differ() {
        assert_eq!(said(|_| {}), "");
        assert_eq!(said(|now| now.converter = "9.9.9".into()), "");
    }

    #[test]
    fn each_input_that_differs_is_named() {
        assert!(
            said(|now| now.model.sha256 = "00".into()).starts_with("model: model.onnx has the SHA-256 00")
        );
        assert!(said(|now| now.model.name = "m.onnx".into()).contains("under another name"));
        assert!(said(|now| now.model.from = From::BuiltIn).contains("came from"));
        assert!(said(|now| now.model.exported = Some("00".into())).contains("exports another ONNX file"));
        assert!(said(|now| now.files.clear()).starts_with("--labels: recorded, but not given"));
        assert!(said(|now| now.files[0].sha256 = "00".into()).starts_with("--labels: the SHA-256 is 00"));
        let external = File { role: EXTERNAL.into(), sha256: "00".into() };
        assert!(said(|now| now.files.push(external)).starts_with("the model's external data: given now"));
        assert_eq!(
            said(|now| _ = now.flags.insert("effort".into(), "low".into())),
            "--effort: \"low\"; recorded is \"normal\""
        );
    }

    #[test]
    fn images_that_differ_are_named_and_counted() {
        let set = |names: &[&str]| {
            let hashes: Vec<_> = names.iter().map(|n| ImageHash::of(n, None, &n.as_bytes()[..1])).collect();
            ImageSet::of(From::File, 1, &hashes)
        };
        assert_eq!(set(&["a.png", "b.png"]), sample().images);
        let changed = said(|now| now.images = set(&["a.png", "c.png"]));
        assert!(changed.contains("changed, renamed or new: c.png\n"), "{changed}");
        assert!(changed.contains("1 of the 2 recorded are not there"), "{changed}");
        assert!(said(|now| now.images = set(&["b.png", "a.png"])).contains("another order"));
        assert!(
            said(|now| now.images.calibration = 2).contains("2 calibrate and 1 check; recorded are 1 and 1")
        );
        assert!(said(|now| now.images.classes = Some("00".into())).contains("class folders"));
    }
}
