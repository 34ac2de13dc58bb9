// Makes one event of each product of an order, after the order itself. The first event keeps the
// messageId, the further ones get it with #1, #2, ... behind.

export function transformEvent(event) {
  const products = event.properties && event.properties.products;
  if (event.event !== 'Order Completed' || !Array.isArray(products)) return event;
  const items = products.map((product, index) => ({
    ...event,
    event: 'Product Ordered',
    properties: { ...product, order_id: event.properties.order_id, position: index + 1 },
  }));
  return [{ ...event, properties: { ...event.properties, products: products.length } }, ...items];
}
