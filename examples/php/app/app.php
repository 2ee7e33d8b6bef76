<?php

// What a worker loads when it starts: a function from a request to a response.

declare(strict_types=1);

$release = basename(__DIR__); // by this file's own place: it shows which code answers, whatever the environment says

return function (array $request) use ($release): array {
    $path = parse_url($request['path'], PHP_URL_PATH);
    if ($path === '/slow') {
        usleep(1500000);
    }
    $body = [
        'release' => $release,
        'slot' => getenv('BLUEGREEN_SLOT') ?: '',
        'pid' => getmypid(),
        'bytes' => strlen($request['body']),
    ];
    return [
        'status' => 200,
        'headers' => ['Content-Type' => 'application/json', 'X-Release' => $release],
        'body' => json_encode($body) . "\n",
    ];
};
