//! Pieces of HTML: escaping, tables that become cards on a phone, bars.

use std::fmt::Write;

/// Escapes foreign text for HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Formats `1234567` as `1.23 M`.
pub fn amount(n: f64, unit: &str) -> String {
    let (value, prefix) = match n {
        n if n >= 1e9 => (n / 1e9, "G"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => return format!("{n} {unit}").trim_end().into(),
    };
    format!("{value:.2} {prefix}{unit}")
}

/// Draws a small plot of the frequency of values.
pub fn histogram(counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut path = String::new();
    for (i, &n) in counts.iter().enumerate().filter(|(_, n)| **n > 0) {
        let height = ((n as f64 / most).sqrt() * 26.0).max(0.6);
        let _ = write!(path, "M{} 28v-{height:.1}h2v{height:.1}z", i * 2);
    }
    let width = counts.len() * 2;
    format!(
        "<svg width=\"{width}\" height=\"28\" aria-hidden=\"true\"><path class=\"plot\" d=\"{path}\"/></svg>"
    )
}

/// Writes a table. On a narrow screen each row is a card whose lines start with the column's name. `columns` are
/// names, and whether the column contains numbers; cells are HTML.
pub fn table(out: &mut String, columns: &[(&str, bool)], rows: impl IntoIterator<Item = Vec<String>>) {
    out.push_str("<table><thead><tr>");
    for (name, number) in columns {
        let class = if *number { " class=\"n\"" } else { "" };
        let _ = write!(out, "<th{class}>{name}");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (cell, (name, number)) in row.iter().zip(columns) {
            let class = if *number { " class=\"n\"" } else { "" };
            let _ = write!(out, "<td{class} data-label=\"{name}\"><span>{cell}</span></td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
}

/// Draws a bar for a fraction of 1.
pub fn bar(part: f64) -> String {
    let width = 100.0 * part.clamp(0.0, 1.0);
    format!("<span class=\"bar\"><i style=\"width:{width:.1}%\"></i></span>")
}

/// Writes a line of a bar chart: a name, its bar, its value.
pub fn bar_line(out: &mut String, name: &str, part: f64, value: &str) {
    let _ = writeln!(out, "<li><span class=\"what\">{name}</span>{}<b>{value}</b></li>", bar(part));
}

/// Formats `0.98765` as `98.77 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// Opens a collapsed section.
pub fn fold(out: &mut String, title: &str) {
    let _ = writeln!(out, "<details><summary>{title}</summary>");
}

/// Closes the section.
pub fn unfold(out: &mut String) {
    out.push_str("</details>\n");
}
