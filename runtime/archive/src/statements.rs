//! The statements of a graph, as [`crate::write_graph`] writes them.
//!
//! They are a small subset of NNEF: `name = operator(argument, key = argument, …);`, one per line. Arguments are
//! names, numbers, strings, and lists or tuples of numbers. Nesting is bounded, so that hostile text cannot
//! exhaust the stack.

use foldnet_kernels::network::{Argument, GraphError, Statement};

/// Lists of tuples are the deepest nesting in the vocabulary.
const MAX_DEPTH: usize = 2;

/// Parses one statement per line.
pub(crate) fn parse(body: &str, first_line: usize) -> Result<Vec<Statement<'_>>, GraphError> {
    body.lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty())
        .map(|(i, text)| {
            let line = first_line + i;
            let mut p = Parser { rest: text };
            p.statement(line).map_err(|message| GraphError::Text { line, message })
        })
        .collect()
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(format!("expected '{c}' before {:?}", self.excerpt())) }
    }

    fn excerpt(&self) -> String {
        self.rest.chars().take(20).collect()
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        self.skip_space();
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn identifier(&mut self) -> Result<&'a str, String> {
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if name.is_empty() { Err(format!("expected a name before {:?}", self.excerpt())) } else { Ok(name) }
    }

    fn statement(&mut self, line: usize) -> Result<Statement<'a>, String> {
        let name = self.identifier()?;
        self.expect('=')?;
        let operator = self.identifier()?;
        // `variable<scalar>` specifies its type.
        if self.eat('<') {
            self.identifier()?;
            self.expect('>')?;
        }
        self.expect('(')?;
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        while !self.eat(')') {
            let value = self.value(0)?;
            match value {
                Argument::Name(key) if self.eat('=') => named.push((key, self.value(0)?)),
                value if named.is_empty() => positional.push(value),
                _ => return Err("an argument without a name behind one with a name".into()),
            }
            if !self.eat(',') && self.peek() != Some(')') {
                return Err(format!("expected ',' or ')' before {:?}", self.excerpt()));
            }
        }
        self.expect(';')?;
        if self.peek().is_some() {
            return Err(format!("{:?} behind the statement", self.excerpt()));
        }
        Ok(Statement { line, name, operator, positional, named })
    }

    fn value(&mut self, depth: usize) -> Result<Argument<'a>, String> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.eat(quote);
                let end = self.rest.find(quote).ok_or("a string without an end")?;
                let text = &self.rest[..end];
                self.rest = &self.rest[end + 1..];
                Ok(Argument::Text(text))
            }
            Some(open @ ('[' | '(')) if depth < MAX_DEPTH => {
                self.eat(open);
                let close = if open == '[' { ']' } else { ')' };
                let mut items = Vec::new();
                while !self.eat(close) {
                    items.push(self.value(depth + 1)?);
                    if !self.eat(',') && self.peek() != Some(close) {
                        return Err(format!("expected ',' or '{close}' before {:?}", self.excerpt()));
                    }
                }
                Ok(Argument::List(items))
            }
            Some('-' | '0'..='9') => {
                Ok(Argument::Number(self.take_while(|c| c.is_ascii_digit() || c == '-' || c == '.')))
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => Ok(Argument::Name(self.identifier()?)),
            _ => Err(format!("expected a value before {:?}", self.excerpt())),
        }
    }
}
