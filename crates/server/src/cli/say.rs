//! Output of commands.

/// Prints a line to the standard output. `println!` panics when nobody reads it any more.
macro_rules! say {
    ($($text:tt)*) => { std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*))) };
}
pub(super) use say;
