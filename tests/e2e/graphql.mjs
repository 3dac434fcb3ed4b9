// A GraphQL server (npm graphql-yoga), for tests/e2e/translations.rs.
//
//   node graphql.mjs
//
// Prints `ready ADDRESS`. It counts the requests that reach it: `count` gives their number. Ends when its input does.

import http from "node:http";
import { GraphQLError } from "graphql";
import { createSchema, createYoga } from "graphql-yoga";

const orders = ["1", "2", "3"].map((id) => ({ id, customer: `customer ${id}` }));
let count = 0;

const schema = createSchema({
  typeDefs: /* GraphQL */ `
    input OrderInput { customer: String!, count: Int! }
    type Item { name: String! }
    type Order { id: ID!, customer: String!, items(first: Int = 2): [Item!]!, next: Order }
    type Query { order(id: ID!): Order, orders(first: Int = 10): [Order!]!, count: Int!, broken: String, half: Order }
    type Mutation { createOrder(order: OrderInput!): Order, forbidden: Int }
  `,
  resolvers: {
    Query: {
      order: (_, { id }) => orders.find((order) => order.id === id) ?? null,
      orders: (_, { first }) => orders.slice(0, first),
      count: () => count,
      broken: () => {
        throw new GraphQLError("it is locked", { extensions: { code: "ORDER_LOCKED" } });
      },
      half: () => ({ id: "7", customer: null }),
    },
    Mutation: {
      createOrder: (_, { order }) => ({ id: String(order.count), customer: order.customer }),
      forbidden: () => {
        throw new GraphQLError("not you", { extensions: { code: "FORBIDDEN" } });
      },
    },
    Order: {
      items: (_, { first }) => Array.from({ length: first }, (_, n) => ({ name: `item ${n}` })),
      next: ({ id }) => orders.find((order) => Number(order.id) === Number(id) + 1) ?? null,
    },
  },
});

const yoga = createYoga({ schema, batching: true, logging: false, landingPage: false });
const server = http.createServer((request, response) => {
  count++;
  return yoga(request, response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
console.log(`ready 127.0.0.1:${server.address().port}`);
process.stdin.on("end", () => process.exit(0)).resume();
