//! A program's subcommands in one table.

/// Declares the subcommands of a program as an enum that clap parses, with `run`, which runs the one that was given.
/// Each row is a name and a type with `run(self, &context)`; a row's attributes are clap's.
///
/// ```
/// use foldnet_cli::{Failure, Output};
///
/// /// Say hello
/// #[derive(clap::Args)]
/// struct Hello {}
///
/// impl Hello {
///     fn run(self, output: &Output) -> Result<(), Failure> {
///         output.line("hello")
///     }
/// }
///
/// foldnet_cli::commands! {
///     enum Command(Output) {
///         Hello(Hello),
///     }
/// }
/// ```
#[macro_export]
macro_rules! commands {
    (enum $name:ident($context:ty) { $($(#[$meta:meta])* $variant:ident($command:ty),)* }) => {
        #[derive(::clap::Subcommand)]
        enum $name {
            $($(#[$meta])* $variant($command),)*
        }

        impl $name {
            /// Runs the subcommand that was given.
            fn run(self, context: &$context) -> ::std::result::Result<(), $crate::Failure> {
                match self {
                    $(Self::$variant(command) => command.run(context).map_err(::std::convert::Into::into),)*
                }
            }
        }
    };
}
