// What the runtime and the build give the glue as modules, for tests outside of both.

import { registerHooks } from "node:module";

// Puts sources in the place of modules, by their names.
export function playModules(sources) {
  const all = {
    "cloudflare:workers": "export class DurableObject { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }",
    ...sources,
  };
  registerHooks({
    resolve(specifier, context, next) {
      const source = all[specifier];
      if (source === undefined) return next(specifier, context);
      return { url: `data:text/javascript,${encodeURIComponent(source)}`, shortCircuit: true };
    },
  });
}
