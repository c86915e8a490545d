//! The formats of lists of class names, each read by one function. It returns `None`, or an empty result, if the
//! text has another format.

use unicode_normalization::UnicodeNormalization;

use super::known;

/// Headers of a column that contains names.
pub const NAME_HEADERS: [&str; 10] = [
    "name",
    "label",
    "class",
    "class_name",
    "classname",
    "display_name",
    "category",
    "labels",
    "names",
    "classes",
];
/// Keys whose value contains the names in JSON and YAML files.
const KEYS: [&str; 7] = ["names", "labels", "classes", "class_names", "categories", "id2label", "label2id"];

/// Removes a pair of quotes around the whole text.
pub fn unquoted(text: &str) -> &str {
    ['"', '\''].into_iter().find_map(|q| text.strip_prefix(q)?.strip_suffix(q)).unwrap_or(text)
}

/// Orders the names by their numbers, which must run from 0 or from 1 without a gap.
fn in_order(pairs: Vec<(usize, String)>) -> Option<Vec<String>> {
    let first = pairs.iter().map(|(n, _)| *n).min().filter(|&n| n <= 1)?;
    let mut names = vec![None; pairs.len()];
    for (number, name) in pairs {
        let place = names.get_mut(number - first)?;
        if place.replace(name).is_some() {
            return None;
        }
    }
    names.into_iter().collect()
}

pub fn json(value: &serde_json::Value) -> Result<Vec<String>, String> {
    use serde_json::Value;
    // Either a plain name, or Keras' pair of synset and name.
    let name = |value: &Value| match value {
        Value::String(name) => Some(name.nfc().collect::<String>().trim().to_owned()),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(_), Value::String(name)] => Some(name.nfc().collect()),
            _ => None,
        },
        Value::Object(fields) => {
            NAME_HEADERS.iter().find_map(|key| Some(fields.get(*key)?.as_str()?.nfc().collect()))
        }
        _ => None,
    };
    match value {
        Value::Array(items) => items
            .iter()
            .map(name)
            .collect::<Option<_>>()
            .ok_or_else(|| "a JSON list, but not of names".to_owned()),
        Value::Object(map) => {
            if let Some(inner) = KEYS.iter().find_map(|key| map.get(*key).filter(|v| !v.is_string())) {
                return json(inner);
            }
            type Pairs = Option<Vec<(usize, String)>>;
            let by_number =
                || -> Pairs { map.iter().map(|(k, v)| Some((k.trim().parse().ok()?, name(v)?))).collect() };
            let by_name = || -> Pairs {
                let number = |v: &Value| usize::try_from(v.as_u64()?).ok();
                map.iter().map(|(k, v)| Some((number(v)?, k.nfc().collect()))).collect()
            };
            by_number().and_then(in_order).or_else(|| by_name().and_then(in_order)).ok_or_else(|| {
                "JSON, but neither a list of names nor names numbered from 0 without a gap".to_owned()
            })
        }
        _ => Err("JSON, but neither a list nor a map of names".into()),
    }
}

/// Reads `['red', 'green']`, `{0: 'red', 1: 'green'}` or `{'red': 0}`: lists and dicts as Python prints them.
pub fn python(text: &str) -> Option<Vec<String>> {
    let inner = |open, close| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(list) = inner('[', ']') {
        return items(list)?
            .iter()
            .map(|item| (unquoted(item) != *item).then(|| unquoted(item).into()))
            .collect();
    }
    let pairs = items(inner('{', '}')?)?;
    let split = |item: &&str| -> Option<(usize, String)> {
        // The colon outside quotes; a number is on one side of it.
        if let Some((number, name)) = item.split_once(':')
            && let Ok(number) = number.trim().parse()
        {
            return Some((number, unquoted(name.trim()).to_owned()));
        }
        let (name, number) = item.rsplit_once(':')?;
        Some((number.trim().parse().ok()?, unquoted(name.trim()).to_owned()))
    };
    in_order(pairs.iter().map(split).collect::<Option<_>>()?)
}

/// Splits at commas outside quotes; a comma may follow the last item.
fn items(text: &str) -> Option<Vec<&str>> {
    let (mut found, mut start, mut quote, mut escaped) = (Vec::new(), 0, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, ',') => {
                found.push(text[start..at].trim());
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    let last = text[start..].trim();
    if !last.is_empty() {
        found.push(last);
    }
    (quote.is_none() && found.iter().all(|item| !item.is_empty())).then_some(found)
}

/// Reads the list or map under one of [`KEYS`], or a list that consists only of `- name`.
pub fn yaml(text: &str) -> Option<Vec<String>> {
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|l| !l.trim().is_empty() && !l.starts_with('#')).collect();
    let list = |lines: &[&str]| -> Option<Vec<String>> {
        let name = |line: &&str| Some(unquoted(line.trim().strip_prefix("- ")?.trim()).to_owned());
        (!lines.is_empty()).then(|| lines.iter().map(name).collect())?
    };
    if let Some(names) = list(&lines) {
        return Some(names);
    }
    fn key(line: &str) -> Option<&str> {
        KEYS.iter().find_map(|key| line.strip_prefix(key)?.strip_prefix(':'))
    }
    let at = lines.iter().position(|line| key(line).is_some())?;
    let value = key(lines[at])?.trim();
    if value.starts_with(['[', '{']) {
        return python(value).or_else(|| bare_list(value));
    }
    if !value.is_empty() {
        return None;
    }
    let below = |line: &&&str| line.starts_with([' ', '\t', '-']);
    let block: Vec<&str> = lines[at + 1..].iter().take_while(below).copied().collect();
    list(&block).or_else(|| numbered(&block.iter().map(|line| line.trim()).collect::<Vec<_>>()))
}

/// Reads `[red, green]`, as YAML allows.
fn bare_list(text: &str) -> Option<Vec<String>> {
    let list = items(text.strip_prefix('[')?.strip_suffix(']')?)?;
    Some(list.into_iter().map(|item| unquoted(item).to_owned()).collect())
}

/// Reads a table with a header, or with quotes around its names.
pub fn table(lines: &[&str]) -> Result<Option<Vec<String>>, String> {
    let Some(separator) = [',', ';', '\t'].into_iter().find(|&s| lines[0].contains(s)) else {
        return Ok(None);
    };
    let rows: Vec<Vec<String>> = lines.iter().map(|line| fields(line, separator)).collect();
    let columns = rows[0].len();
    let numbers = |column: usize, rows: &[Vec<String>]| -> Option<Vec<usize>> {
        rows.iter().map(|row| row[column].parse().ok()).collect()
    };
    if rows.len() < 2 || columns < 2 || rows.iter().any(|row| row.len() != columns) {
        return Ok(None);
    }
    let head: Vec<String> = rows[0].iter().map(|field| field.to_lowercase()).collect();
    let body = &rows[1..];
    let has_header =
        numbers(0, &rows[..1]).is_none() && (0..columns).all(|c| numbers(c, &rows[..1]).is_none());
    let Some(index) = (0..columns).find(|&c| {
        let body = if has_header { body } else { &rows };
        numbers(c, body)
            .is_some_and(|n| in_order(n.into_iter().map(|n| (n, String::new())).collect()).is_some())
    }) else {
        return Ok(None);
    };
    let others: Vec<usize> = (0..columns).filter(|&c| c != index).collect();
    let named = NAME_HEADERS.iter().find_map(|name| others.iter().find(|&&c| has_header && head[c] == *name));
    let name = match (named, others.as_slice()) {
        (Some(&column), _) | (None, &[column]) => column,
        _ => {
            return Err(format!(
                "a table of {columns} columns, none of which is headed `name` or `label`; keep the number and the name"
            ));
        }
    };
    let body = if has_header { body } else { &rows };
    let pairs = body.iter().map(|row| Some((row[index].parse().ok()?, row[name].clone())));
    Ok(pairs.collect::<Option<_>>().and_then(in_order).filter(|names| distinct(names)))
}

/// Splits a line into fields; separators inside quotes do not count, and doubled quotes are quotes (RFC 4180).
fn fields(line: &str, separator: char) -> Vec<String> {
    let (mut found, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if quoted || field.trim().is_empty() => quoted = !quoted,
            _ if c == separator && !quoted => found.push(std::mem::take(&mut field).trim().to_owned()),
            _ => field.push(c),
        }
    }
    found.push(field.trim().to_owned());
    found
}

/// Reads lines that are all numbered in the same way.
pub fn numbered(lines: &[&str]) -> Option<Vec<String>> {
    let before = |line: &&str| -> Option<(usize, String)> {
        let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = line[..digits].parse().ok()?;
        let rest = &line[digits..];
        let name = match rest.trim_start().strip_prefix([':', ',', ';', '=', '\t']) {
            Some(name) => name,
            None => match rest.strip_prefix(['.', ')']) {
                Some(name) => name.strip_prefix(' ')?,
                None => rest.strip_prefix([' ', '\t'])?,
            },
        };
        named(number, name)
    };
    let behind = |line: &&str| -> Option<(usize, String)> {
        let (name, number) = line.rsplit_once([':', ',', ';', '=', '\t'])?;
        named(number.trim().parse().ok()?, name)
    };
    let all = |pair: &dyn Fn(&&str) -> Option<(usize, String)>| {
        let names = lines.iter().map(pair).collect::<Option<_>>().and_then(in_order)?;
        // For `1 euro`, `2 euro`, the names without numbers would all be equal.
        distinct(&names).then_some(names)
    };
    all(&before).or_else(|| all(&behind))
}

fn named(number: usize, name: &str) -> Option<(usize, String)> {
    let name = unquoted(name.trim().trim_end_matches(',')).trim();
    (!name.is_empty()).then(|| (number, name.to_owned()))
}

fn distinct(names: &[String]) -> bool {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

/// Reads ImageNet's synset lines and removes their identifiers; folders are matched by identifier nevertheless
/// ([`known::imagenet_name`]). Identifiers that are not ImageNet's remain part of the names.
pub fn synsets(lines: &[&str]) -> Option<Vec<String>> {
    let name = |line: &&str| {
        let (id, name) = line.split_once([' ', '\t'])?;
        let name = name.trim();
        let known = known::imagenet_name(id)?;
        super::synonyms(name)
            .any(|synonym| super::plain(synonym) == super::plain(known))
            .then(|| name.to_owned())
    };
    lines.iter().map(name).collect::<Option<Vec<_>>>().filter(|names| distinct(names))
}
