<?php

// A small PHP application server with pcntl: a master that opens the port, and workers that answer.
//
// USR1 replaces the workers one by one, and each new worker loads app.php anew, from the release that `current` points to
// at that moment: this is what a reload in place needs. What this file holds itself, a start alone brings.
// TERM lets each worker finish the request that it has.

declare(strict_types=1);

function load_app(): Closure
{
    $current = getenv('BLUEGREEN_CURRENT') ?: __DIR__;
    clearstatcache(true); // what the master knew of the link is inherited
    return require realpath($current) . '/app.php'; // by its own path: OPcache keeps what it has once seen behind a link
}

function say(string $text): void
{
    fwrite(STDERR, $text . "\n");
}

function request($connection): ?array
{
    stream_set_timeout($connection, 10);
    $head = stream_get_line($connection, 65536, "\r\n\r\n");
    if ($head === false || $head === '') {
        return null;
    }
    $lines = explode("\r\n", $head);
    [$method, $path] = explode(' ', $lines[0]) + ['', '/'];
    $length = preg_match('/^content-length:\s*(\d+)/im', $head, $found) ? (int) $found[1] : 0;
    $body = $length ? (string) stream_get_contents($connection, $length) : '';
    return ['method' => $method, 'path' => $path, 'body' => $body];
}

function answer($connection, array $response): void
{
    $headers = ['Content-Length' => strlen($response['body']), 'Connection' => 'close'] + $response['headers'];
    $text = "HTTP/1.1 {$response['status']} -\r\n";
    foreach ($headers as $name => $value) {
        $text .= "{$name}: {$value}\r\n";
    }
    fwrite($connection, $text . "\r\n" . $response['body']);
}

function work($port, Closure $handle): void
{
    $stopping = false;
    pcntl_signal(SIGTERM, function () use (&$stopping): void {
        $stopping = true;
    });
    pcntl_signal(SIGUSR1, SIG_IGN); // the master's
    while (!$stopping) {
        $connection = @stream_socket_accept($port, 0.2);
        if ($connection === false) {
            continue;
        }
        stream_set_blocking($connection, true);
        $request = request($connection);
        if ($request !== null) {
            answer($connection, $handle($request));
        }
        fclose($connection);
    }
}

function start_worker($port, ?Closure $handle): int
{
    $pid = pcntl_fork();
    if ($pid === 0) {
        work($port, $handle ?? load_app());
        exit(0);
    }
    return $pid;
}

$address = (getenv('BLUEGREEN_ADDRESS') ?: '127.0.0.1') . ':' . (getenv('PORT') ?: '8080');
$port = stream_socket_server("tcp://{$address}", $code, $why);
if ($port === false) {
    say("cannot listen on {$address}: {$why}");
    exit(1);
}
stream_set_blocking($port, false);

// PRELOAD shows what cannot be reloaded: code that the master has loaded before its workers fork.
$loaded = getenv('PRELOAD') ? load_app() : null;
$wanted = (int) (getenv('WORKERS') ?: 2);
$workers = [];
$reload = $stop = false;
pcntl_async_signals(true);
pcntl_signal(SIGUSR1, function () use (&$reload): void {
    $reload = true;
});
foreach ([SIGTERM, SIGINT] as $signal) {
    pcntl_signal($signal, function () use (&$stop): void {
        $stop = true;
    });
}

while (!$stop) {
    while (($ended = pcntl_waitpid(-1, $status, WNOHANG)) > 0) {
        unset($workers[$ended]);
    }
    if ($reload) {
        $reload = false;
        foreach (array_keys($workers) as $old) {
            $workers[start_worker($port, $loaded)] = true;
            posix_kill($old, SIGTERM);
        }
        say('workers replaced');
    }
    while (count($workers) < $wanted) {
        $workers[start_worker($port, $loaded)] = true;
    }
    usleep(50000);
}
foreach (array_keys($workers) as $pid) {
    posix_kill($pid, SIGTERM);
}
while (pcntl_waitpid(-1, $status) > 0);
