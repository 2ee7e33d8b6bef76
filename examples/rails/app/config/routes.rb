Rails.application.routes.draw do
  root "orders#index"
  get "health", to: "orders#health"
  get "slow", to: "orders#slow"
end
