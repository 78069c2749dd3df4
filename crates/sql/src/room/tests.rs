//! Deep trees in futures, in a thread with little stack.

use expr::Expr;

use super::*;

#[test]
fn a_future_has_room_whenever_it_runs() {
    let levels = 20_000;
    let test = move || {
        let tree = (0..levels).fold(Expr::Column(0), |inner, _| Expr::Not(Box::new(inner)));
        let work = async move {
            let copy = tree.clone();
            tokio::task::yield_now().await;
            drop((copy, tree));
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(Roomy::new(levels, Box::pin(work)));
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(test);
    thread.expect("a thread").join().expect("the test holds");
}

#[test]
fn a_future_that_is_given_up_is_dropped_with_room() {
    let levels = 20_000;
    let test = move || {
        let tree = (0..levels).fold(Expr::Column(0), |inner, _| Expr::Not(Box::new(inner)));
        let work = async move {
            std::future::pending::<()>().await;
            drop(tree);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut work = Roomy::new(levels, Box::pin(work));
            assert!(futures::poll!(&mut work).is_pending());
        });
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(test);
    thread.expect("a thread").join().expect("the test holds");
}
