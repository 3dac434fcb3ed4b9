// The plain pass-through: what no gateway at all costs.
export default {
  fetch(request) {
    return fetch(request);
  },
};
