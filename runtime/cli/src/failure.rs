//! The reason why a command failed, and the program's exit code.

use std::fmt::Display;

/// The programs' exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command succeeded.
    Done = 0,
    /// An internal error.
    Internal = 1,
    /// Bad input, bad usage, or output that cannot be written.
    BadInput = 2,
    /// The result misses a limit that the user set.
    Limit = 3,
    /// A board refused a change and keeps running as before.
    Board = 4,
}

/// The reason why a command failed.
///
/// Every error converts into a failure. The program's [`classify`](crate::Program::classify) then decides its exit
/// code, which usually is [`Exit::BadInput`].
#[derive(Debug)]
pub struct Failure {
    exit: Option<Exit>,
    /// `None` if the command has already printed the problem.
    error: Option<anyhow::Error>,
}

impl Failure {
    /// Creates a failure for input that cannot be used.
    pub fn input(message: impl Display) -> Self {
        Self::new(Exit::BadInput, message)
    }

    /// Creates a failure for a bug in the program.
    pub fn internal(message: impl Display) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// Creates a failure for a missed limit that the user set.
    pub fn limit(message: impl Display) -> Self {
        Self::new(Exit::Limit, message)
    }

    /// Creates a failure for a change that a board refused.
    pub fn board(message: impl Display) -> Self {
        Self::new(Exit::Board, message)
    }

    /// Creates a failure with this exit code. Formats `message` in its alternate form, so that an `anyhow::Error`
    /// shows its causes.
    pub fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit: Some(exit), error: Some(anyhow::anyhow!("{message:#}")) }
    }

    /// Creates a failure whose reason has been printed already, or needs no message.
    pub fn silent(exit: Exit) -> Self {
        Self { exit: Some(exit), error: None }
    }

    /// Returns the exit code; `classify` decides for errors that were converted without one.
    pub fn exit(&self, classify: fn(&anyhow::Error) -> Exit) -> Exit {
        match (self.exit, &self.error) {
            (Some(exit), _) => exit,
            (None, Some(error)) => classify(error),
            (None, None) => Exit::Internal,
        }
    }

    /// Returns the original error if it has this type.
    pub fn downcast_ref<E: Display + std::fmt::Debug + Send + Sync + 'static>(&self) -> Option<&E> {
        self.error.as_ref()?.downcast_ref()
    }

    /// Returns the message with its causes; empty if there is nothing left to print.
    pub fn message(&self) -> String {
        let mut message = String::new();
        for cause in self.error.iter().flat_map(|e| e.chain()) {
            let cause = cause.to_string();
            // Many errors already include the text of their cause.
            if message.ends_with(&cause) {
                continue;
            }
            if !message.is_empty() {
                message += ": ";
            }
            message += &cause;
        }
        message
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit: None, error: Some(error.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, std::fmt::Error);

    impl Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn a_cause_is_printed_once() {
        let inner = std::fmt::Error.to_string();
        assert_eq!(
            Failure::from(Outer("model.onnx", std::fmt::Error)).message(),
            format!("model.onnx: {inner}")
        );
        let doubled: &'static str = format!("model.onnx: {inner}").leak();
        assert_eq!(Failure::from(Outer(doubled, std::fmt::Error)).message(), doubled);
        assert_eq!(Failure::input(anyhow::anyhow!("b").context("a")).message(), "a: b");
        assert_eq!(Failure::silent(Exit::BadInput).message(), "");
    }

    #[test]
    fn converted_errors_are_classified_by_the_program() {
        let classify = |e: &anyhow::Error| if e.is::<Outer>() { Exit::Internal } else { Exit::BadInput };
        assert_eq!(Failure::from(Outer("", std::fmt::Error)).exit(classify), Exit::Internal);
        assert_eq!(Failure::from(std::fmt::Error).exit(classify), Exit::BadInput);
        assert_eq!(Failure::limit("too slow").exit(classify), Exit::Limit);
    }
}
