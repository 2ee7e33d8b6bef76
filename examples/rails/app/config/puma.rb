# Puma takes this file by itself. TERM: it refuses new connections at once, and finishes the requests that it has.
bind "tcp://#{ENV.fetch("BLUEGREEN_ADDRESS", "127.0.0.1")}:#{ENV.fetch("PORT")}"
workers Integer(ENV.fetch("WEB_CONCURRENCY", 2))
threads 1, Integer(ENV.fetch("RAILS_MAX_THREADS", 5))
persistent_timeout 20 # seconds; more than bluegreen_upstream_idle, so that nginx ends an idle connection and not Puma
worker_shutdown_timeout 25 # seconds a worker has for its requests; less than bluegreen_stop_timeout (35)
environment ENV.fetch("RAILS_ENV", "production")
