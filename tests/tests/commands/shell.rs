//! The little of a shell's language that command lines in the documentation use.

/// A command of a line: variables set for it, and its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    pub variables: Vec<(String, String)>,
    pub words: Vec<String>,
    /// Whether it reads what the command before it writes.
    pub piped: bool,
}

/// Splits a line into simple commands at `&&`, `||`, `|`, `;` and `&`. Quotes group; a `#` after a space begins a comment.
pub fn split(line: &str) -> Vec<Simple> {
    let mut commands = vec![Simple::default()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, '#') if word.is_none() => break,
            (None, ' ' | '\t') => end(&mut word, &mut commands),
            (None, '&' | '|' | ';') => {
                end(&mut word, &mut commands);
                let double = characters.next_if_eq(&c).is_some();
                commands.push(Simple { piped: c == '|' && !double, ..Simple::default() });
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut word, &mut commands);
    commands.retain(|command| !command.words.is_empty() || !command.variables.is_empty());
    commands
}

fn end(word: &mut Option<String>, commands: &mut [Simple]) {
    let (Some(word), Some(command)) = (word.take(), commands.last_mut()) else { return };
    let name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    match word.split_once('=') {
        Some((key, value)) if command.words.is_empty() && name(key) => {
            command.variables.push((key.into(), value.into()));
        }
        _ => command.words.push(word),
    }
}

#[test]
fn lines_are_split_as_a_shell_does() {
    let words = |line: &str| split(line).into_iter().map(|c| c.words).collect::<Vec<_>>();
    assert_eq!(words("a 'b c' \"d\"e  # f"), [["a", "b c", "de"]]);
    assert_eq!(words("a && b | c; d &"), [["a"], ["b"], ["c"], ["d"]]);
    assert_eq!(words("# nothing"), [[""; 0]; 0]);
    assert_eq!(words("a http://x/#y ''"), [["a", "http://x/#y", ""]]);
    let commands = split("KEY=v runtime x | boards y");
    assert_eq!(commands[0].variables, [("KEY".to_owned(), "v".to_owned())]);
    assert_eq!((commands[0].piped, commands[1].piped), (false, true));
}
