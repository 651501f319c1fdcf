//! `tcplog2pcapng`: the same commands, under the name that scripts use.

fn main() -> std::process::ExitCode {
    tcplog::cli::main("tcplog2pcapng", std::env::args_os())
}
