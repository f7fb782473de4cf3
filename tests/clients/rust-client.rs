//! The Rust SDK, each session with a configuration, a client and a runtime of its own. The same program is built with
//! the SDK that keyrole itself uses and, in `rust-old/`, with an old one.

use aws_sdk_sts::error::DisplayErrorContext;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

fn session(calls: u64, pause: u64) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let endpoint = std::env::var("ENDPOINT").unwrap_or_default();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config =
            aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http).endpoint_url(endpoint);
        let sts = aws_sdk_sts::Client::new(&config.load().await);
        for number in 0..calls {
            if number > 0 {
                tokio::time::sleep(Duration::from_secs(pause)).await;
            }
            let answer = sts.get_caller_identity().send().await;
            answer.map_err(|error| DisplayErrorContext(error).to_string())?;
        }
        Ok(())
    })
}

fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let &[sessions, calls, pause] = numbers.as_slice() else { return ExitCode::from(2) };
    let sessions: Vec<_> = (0..sessions).map(|_| thread::spawn(move || session(calls, pause))).collect();
    let mut code = ExitCode::SUCCESS;
    for session in sessions {
        if let Err(error) = session.join().unwrap_or_else(|_| Err("it panicked".to_owned())) {
            eprintln!("{error}");
            code = ExitCode::FAILURE;
        }
    }
    code
}
