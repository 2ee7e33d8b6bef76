class OrdersController < ActionController::Base
  def index
    render json: Order.order(:id).pluck(:what)
  end

  # 200 if the database answers and has the table that this code needs.
  def health
    Order.limit(1).load
    render plain: "ok"
  end

  # Three seconds: ask it during a release.
  def slow
    sleep 3
    render plain: "done"
  end
end
