require_relative "boot"

require "logger" # before Rails: 6.1 does not require it itself
require "rails"
require "active_model/railtie"
require "active_record/railtie"
require "action_controller/railtie"
Bundler.require(*Rails.groups)

module Orders
  RELEASE = File.basename(File.expand_path("..", __dir__)) # the directory's name is the release: it shows which code answers

  class Application < Rails::Application
    config.load_defaults 6.1
    config.eager_load = true
    config.consider_all_requests_local = false
    config.public_file_server.enabled = true # public/ from Puma; or let nginx do it
    config.action_dispatch.default_headers = { "X-Release" => RELEASE }
    config.active_record.dump_schema_after_migration = false # the release may be read-only
    config.log_level = :info
    config.logger = ActiveSupport::Logger.new($stdout) # supervisor keeps it, and shows its end when a start fails
    config.secret_key_base = ENV.fetch("SECRET_KEY_BASE") # the same in all releases and slots, or every release ends all sessions
    config.hosts.clear # nginx has the server name
  end
end
