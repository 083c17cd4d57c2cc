//! Whose turn it is to have a token signed, and who is turned away.

use std::sync::Mutex;
use std::time::Instant;

use super::*;

fn requester_in_block(block: u64) -> RequesterId {
    RequesterId { block_tag: block, network_tag: block, network_user_tag: block }
}

/// A place where one thread signs; nothing is signed before the first signature is let go.
fn single_thread_pool() -> Arc<SigningPool> {
    let mut signing = SigningPool::new(Clock::system(), &Metrics::default());
    signing.threads_max = 1;
    Arc::new(signing)
}

/// Waits until so many wait.
async fn until_waiting(signing: &SigningPool, class: SigningClass, number: usize) {
    let end = Instant::now() + SIGNING_TIMEOUT;
    while signing.queue(class).waiting_count() < number {
        assert!(Instant::now() < end, "{number} of {class:?}");
        tokio::task::yield_now().await;
    }
}

/// Holds the only thread until the sender goes.
async fn block_signing_thread(
    signing: &Arc<SigningPool>,
) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Limited>>) {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let (began, begins) = oneshot::channel();
    let first = Arc::clone(signing);
    let task = tokio::spawn(async move {
        first
            .run(requester_in_block(0), SigningClass::Authenticated, move || {
                let _ = began.send(());
                let _ = held.recv();
            })
            .await
    });
    begins.await.unwrap();
    (hold, task)
}

#[tokio::test]
async fn authenticated_clients_sign_first_and_anonymous_clients_get_every_eighth_turn_field_r2() {
    let signing = single_thread_pool();
    let (hold, first) = block_signing_thread(&signing).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (class, number, waiting) in (0..20)
        .map(|n| (SigningClass::Anonymous, n, n + 1))
        .chain((0..20).map(|n| (SigningClass::Authenticated, n, n + 1)))
    {
        let (signing_, order) = (Arc::clone(&signing), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            signing_
                .run(requester_in_block(number + 1), class, move || order.lock().unwrap().push(class))
                .await
        }));
        until_waiting(&signing, class, usize::try_from(waiting).unwrap()).await;
    }
    drop(hold);
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(()));
    }
    assert_eq!(first.await.unwrap(), Ok(()));
    let order = order.lock().unwrap();
    let last = order.iter().rposition(|class| *class == SigningClass::Authenticated).unwrap();
    let before = order[..last].iter().filter(|class| **class == SigningClass::Anonymous).count();
    assert!((1..=3).contains(&before), "{order:?}");
}

#[tokio::test]
async fn flood_from_one_network_is_answered_busy_and_other_networks_get_signatures_field_r2() {
    let signing = single_thread_pool();
    let (hold, _first) = block_signing_thread(&signing).await;
    let mut flood = Vec::new();
    for number in 0..2 * ANONYMOUS_QUEUE_MAX {
        let flooder = Arc::clone(&signing);
        flood.push(tokio::spawn(async move {
            flooder.run(requester_in_block(1), SigningClass::Anonymous, || ()).await
        }));
        until_waiting(&signing, SigningClass::Anonymous, (number + 1).min(ANONYMOUS_QUEUE_MAX)).await;
    }
    let other = Arc::clone(&signing);
    let other =
        tokio::spawn(async move { other.run(requester_in_block(2), SigningClass::Anonymous, || ()).await });
    let identified = Arc::clone(&signing);
    let identified = tokio::spawn(async move {
        identified.run(requester_in_block(1), SigningClass::Authenticated, || ()).await
    });
    until_waiting(&signing, SigningClass::Authenticated, 1).await;
    // The place of another was given up before the first signature.
    let end = Instant::now() + SIGNING_TIMEOUT;
    while flood.iter().filter(|task| task.is_finished()).count() < ANONYMOUS_QUEUE_MAX + 1 {
        assert!(Instant::now() < end, "{}", flood.iter().filter(|task| task.is_finished()).count());
        tokio::task::yield_now().await;
    }
    drop(hold);
    assert_eq!(other.await.unwrap(), Ok(()));
    assert_eq!(identified.await.unwrap(), Ok(()));
    let mut signed = 0;
    for task in flood {
        match task.await.unwrap() {
            Ok(()) => signed += 1,
            Err(limited) => assert_eq!(limited, Limited::Busy(RETRY_AFTER)),
        }
    }
    assert_eq!(signed, ANONYMOUS_QUEUE_MAX - 1);
}

#[tokio::test]
async fn disconnected_client_gets_no_signature_and_panic_fails_only_its_own_request() {
    let signing = single_thread_pool();
    let (hold, _first) = block_signing_thread(&signing).await;
    let signed = Arc::new(AtomicUsize::new(0));
    let (gone, count) = (Arc::clone(&signing), Arc::clone(&signed));
    let gone = tokio::spawn(async move {
        gone.run(requester_in_block(1), SigningClass::Authenticated, move || {
            count.fetch_add(1, Ordering::SeqCst)
        })
        .await
    });
    until_waiting(&signing, SigningClass::Authenticated, 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let broken = Arc::clone(&signing);
    let broken = tokio::spawn(async move {
        broken.run(requester_in_block(2), SigningClass::Authenticated, || panic!("seeded")).await
    });
    until_waiting(&signing, SigningClass::Authenticated, 2).await;
    drop(hold);
    assert_eq!(broken.await.unwrap(), Err::<(), _>(Limited::Busy(RETRY_AFTER)));
    assert_eq!(signing.run(requester_in_block(3), SigningClass::Authenticated, || 7).await, Ok(7));
    assert_eq!(signed.load(Ordering::SeqCst), 0);
    assert_eq!(signing.queue(SigningClass::Authenticated).waiting_count(), 0);
}
