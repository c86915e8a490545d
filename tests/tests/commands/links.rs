//! Links in the documentation lead somewhere: files, and headings in them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use foldnet_tests::root;

use super::sandbox::documents;

/// The repository's address; links below it are checked as files of this checkout.
const REPOSITORY: &str = "https://github.com/foldnet/foldnet/";

/// Targets of inline links and images, with the line that they are in. Code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced || line.starts_with("    ") {
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            found.push((number + 1, rest[..end].to_owned()));
        }
        for piece in line.split("src=\"").skip(1) {
            found.push((number + 1, piece.split('"').next().unwrap_or_default().to_owned()));
        }
    }
    found
}

/// The anchors that a site gives to a text's headings.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|l| l.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The file that a link means; none where it leads out of the project.
fn file(from: &Path, target: &str) -> Option<PathBuf> {
    if let Some(inside) = target.strip_prefix(REPOSITORY) {
        let path = ["blob/main/", "tree/main/"].iter().find_map(|p| inside.strip_prefix(p))?;
        return Some(root().join(path));
    }
    let outside = ["http://", "https://", "mailto:"].iter().any(|p| target.starts_with(p));
    (!outside).then(|| from.parent().unwrap().join(target))
}

#[test]
fn every_link_leads_somewhere() {
    let texts: HashMap<PathBuf, String> =
        documents().into_iter().map(|p| (p.clone(), fs::read_to_string(p).unwrap())).collect();
    let mut checked = 0;
    for (path, text) in &texts {
        for (line, link) in links(text) {
            let at = format!("{}:{line}: {link}", path.display());
            let (target, anchor) = link.split_once('#').map_or((&*link, None), |(t, a)| (t, Some(a)));
            let found = if target.is_empty() { Some(path.clone()) } else { file(path, target) };
            let Some(found) = found else { continue };
            assert!(found.exists(), "{at} leads nowhere");
            if let Some(anchor) = anchor.filter(|_| found.extension().is_some_and(|e| e == "md")) {
                let text = fs::read_to_string(&found).unwrap();
                assert!(anchors(&text).iter().any(|a| a == anchor), "{at}: no such heading");
            }
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} links were found");
}

#[test]
fn the_summary_names_every_page() {
    let source = root().join("docs/src");
    let summary = fs::read_to_string(source.join("SUMMARY.md")).unwrap();
    let named: Vec<PathBuf> = links(&summary).into_iter().map(|(_, link)| source.join(link)).collect();
    for page in documents().iter().filter(|p| p.starts_with(&source) && !p.ends_with("SUMMARY.md")) {
        assert!(named.contains(page), "{} is not in SUMMARY.md", page.display());
    }
}

#[test]
fn format_pages_name_the_versions_of_the_source() {
    let page = |name: &str| fs::read_to_string(root().join("docs/src/formats").join(name)).unwrap();
    let title = |name: &str| page(name).lines().next().unwrap().to_owned();
    let (oldest, newest) = (foldnet_archive::OLDEST_FORMAT, foldnet_archive::FORMAT);
    assert_eq!(title("archive.md"), format!("# Archive (formats {oldest} to {newest})"));
    assert_eq!(title("teaching.md"), format!("# Teaching file (version {})", foldnet_teach::VERSION));
    assert_eq!(title("plan.md"), format!("# Plan (version {})", foldnet_plan::format::VERSION));
    assert_eq!(
        title("agent.md"),
        format!("# Agent protocol (version {})", foldnet_boards::protocol::VERSION)
    );
    let preamble = fs::read_to_string(root().join("runtime/archive/src/preamble.nnef")).unwrap();
    let archive = page("archive.md");
    for fragment in preamble.lines().filter_map(|l| l.strip_prefix("fragment ")) {
        let name = fragment.split('(').next().unwrap();
        assert!(archive.contains(&format!("`{name}(")), "archive.md does not explain {name}");
    }
}

#[test]
fn files_in_running_text_exist() {
    let folders = ["runtime/", "converter/", "boards/", "firmware/", "tests/", "docs/", ".ci/", ".github/"];
    let (mut checked, mut problems) = (0, Vec::new());
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.starts_with("    ")) {
            for span in line.split('`').skip(1).step_by(2) {
                let is_path = folders.iter().any(|f| span.starts_with(f))
                    && !span.contains(['<', '*', ' ', '…', '$', '{'])
                    && !span.contains("NAME");
                if !is_path {
                    continue;
                }
                checked += 1;
                let near = path.parent().unwrap().join(span);
                if !root().join(span).exists() && !near.exists() {
                    problems.push(format!("{}:{}: `{span}`", path.display(), number + 1));
                }
            }
        }
    }
    assert!(problems.is_empty(), "these do not exist:\n{}", problems.join("\n"));
    assert!(checked > 60, "only {checked} were found");
}
