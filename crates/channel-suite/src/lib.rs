//! Makes a behaviour a test on every runtime.
//!
//! ```text
//! // Holds EXE-2.
//! #[behaviour]
//! async fn ending_stdin_lets_the_output_come<F: Flavour>() { … }
//! ```
//!
//! gives the tests `ending_stdin_lets_the_output_come::tokio_current_thread`, `…::smol_many_threads`, and so on. Which runtimes there are is
//! said by the test crate's own macro `on_every_runtime!`, which gets the function's name, and what stands in the attribute's parentheses:
//! `#[behaviour(each entry)]`.

use proc_macro::{TokenStream, TokenTree};

/// The function as it is, and `crate::on_every_runtime! { its name, and the attribute's arguments }`.
#[proc_macro_attribute]
pub fn behaviour(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let mut tokens = function.clone().into_iter();
    let is_fn = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn");
    let name = match tokens.find(is_fn).and_then(|_| tokens.next()) {
        Some(TokenTree::Ident(name)) => name,
        _ => return compile_error("a behaviour is an async fn"),
    };
    let mut all = function;
    all.extend(
        format!("crate::on_every_runtime! {{ {name} {arguments} }}")
            .parse::<TokenStream>()
            .unwrap_or_else(|error| compile_error(&error.to_string())),
    );
    all
}

fn compile_error(why: &str) -> TokenStream {
    let quoted = proc_macro::Literal::string(why);
    format!("compile_error!({quoted});").parse().unwrap_or_default()
}
