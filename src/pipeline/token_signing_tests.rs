//! Tests of the signing pool: the order of signatures, and full queues.

use std::sync::Mutex;
use std::time::Instant;

use super::*;

fn requester_in_block(block: u64) -> RequesterId {
    RequesterId { block_tag: block, network_tag: block, network_user_tag: block }
}

/// Creates a pool with one thread.
fn single_thread_pool() -> Arc<SigningPool> {
    let mut pool = SigningPool::new(Clock::system(), &Metrics::default());
    pool.threads_max = 1;
    Arc::new(pool)
}

/// Waits until `number` requests of the class are in the queue.
async fn until_waiting(pool: &SigningPool, class: SigningClass, number: usize) {
    let deadline = Instant::now() + SIGNING_TIMEOUT;
    while pool.queue(class).waiting_count() < number {
        assert!(Instant::now() < deadline, "{number} of {class:?}");
        tokio::task::yield_now().await;
    }
}

/// Holds the only thread of the pool until the sender is dropped.
async fn block_signing_thread(
    pool: &Arc<SigningPool>,
) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Limited>>) {
    let (blocker, blocked) = std::sync::mpsc::channel::<()>();
    let (start_sender, started) = oneshot::channel();
    let first = Arc::clone(pool);
    let task = tokio::spawn(async move {
        first
            .run(requester_in_block(0), SigningClass::Authenticated, move || {
                let _ = start_sender.send(());
                let _ = blocked.recv();
            })
            .await
    });
    started.await.unwrap();
    (blocker, task)
}

#[tokio::test]
async fn authenticated_clients_sign_first_and_anonymous_clients_get_every_eighth_turn_field_r2() {
    let pool = single_thread_pool();
    let (blocker, first) = block_signing_thread(&pool).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for (class, number, waiting) in (0..20)
        .map(|n| (SigningClass::Anonymous, n, n + 1))
        .chain((0..20).map(|n| (SigningClass::Authenticated, n, n + 1)))
    {
        let (requests, order) = (Arc::clone(&pool), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            requests
                .run(requester_in_block(number + 1), class, move || order.lock().unwrap().push(class))
                .await
        }));
        until_waiting(&pool, class, usize::try_from(waiting).unwrap()).await;
    }
    drop(blocker);
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
    let pool = single_thread_pool();
    let (blocker, _first) = block_signing_thread(&pool).await;
    let mut flood = Vec::new();
    for number in 0..2 * ANONYMOUS_QUEUE_MAX {
        let flooder = Arc::clone(&pool);
        flood.push(tokio::spawn(async move {
            flooder.run(requester_in_block(1), SigningClass::Anonymous, || ()).await
        }));
        until_waiting(&pool, SigningClass::Anonymous, (number + 1).min(ANONYMOUS_QUEUE_MAX)).await;
    }
    let other = Arc::clone(&pool);
    let other =
        tokio::spawn(async move { other.run(requester_in_block(2), SigningClass::Anonymous, || ()).await });
    let identified = Arc::clone(&pool);
    let identified = tokio::spawn(async move {
        identified.run(requester_in_block(1), SigningClass::Authenticated, || ()).await
    });
    until_waiting(&pool, SigningClass::Authenticated, 1).await;
    // The request from the other network evicts one of the flood before the first signature.
    let deadline = Instant::now() + SIGNING_TIMEOUT;
    while flood.iter().filter(|task| task.is_finished()).count() < ANONYMOUS_QUEUE_MAX + 1 {
        assert!(Instant::now() < deadline, "{}", flood.iter().filter(|task| task.is_finished()).count());
        tokio::task::yield_now().await;
    }
    drop(blocker);
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
    let pool = single_thread_pool();
    let (blocker, _first) = block_signing_thread(&pool).await;
    let signed = Arc::new(AtomicUsize::new(0));
    let (gone, count) = (Arc::clone(&pool), Arc::clone(&signed));
    let gone = tokio::spawn(async move {
        gone.run(requester_in_block(1), SigningClass::Authenticated, move || {
            count.fetch_add(1, Ordering::SeqCst)
        })
        .await
    });
    until_waiting(&pool, SigningClass::Authenticated, 1).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let broken = Arc::clone(&pool);
    let broken = tokio::spawn(async move {
        broken.run(requester_in_block(2), SigningClass::Authenticated, || panic!("seeded")).await
    });
    until_waiting(&pool, SigningClass::Authenticated, 2).await;
    drop(blocker);
    assert_eq!(broken.await.unwrap(), Err::<(), _>(Limited::Busy(RETRY_AFTER)));
    assert_eq!(pool.run(requester_in_block(3), SigningClass::Authenticated, || 7).await, Ok(7));
    assert_eq!(signed.load(Ordering::SeqCst), 0);
    assert_eq!(pool.queue(SigningClass::Authenticated).waiting_count(), 0);
}
