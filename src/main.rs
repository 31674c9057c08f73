//! The `twitcher` program: hands over to the library and ends with its exit status.

fn main() -> std::process::ExitCode {
    twitcher::internals::cli::main()
}
