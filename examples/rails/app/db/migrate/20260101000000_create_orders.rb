class CreateOrders < ActiveRecord::Migration[6.1]
  def up
    create_table(:orders) { |table| table.string :what, null: false }
    execute "INSERT INTO orders (what) VALUES ('a first order')"
  end

  def down
    drop_table :orders
  end
end
