//! `tcplog`: all commands.

fn main() -> std::process::ExitCode {
    tcplog::cli::main("tcplog", std::env::args_os())
}
