// Starts Swagger UI on this gateway's own document; nothing is loaded from elsewhere.

// OpenAI's API is served at three prefixes; the page shows its operations once.
const CANONICAL = "/openai/";
const ALIASES = ["/openai/v1/", "/v1/"];

function withoutAliases(document) {
  for (const path of Object.keys(document.paths)) {
    const alias = ALIASES.find((prefix) => path.startsWith(prefix));
    if (alias && CANONICAL + path.slice(alias.length) in document.paths) delete document.paths[path];
  }
  return document;
}

const base = new URL(".", location.href);
const reply = await fetch(new URL("openapi.json", base));
const spec = withoutAliases(await reply.json());
spec.servers = [{ url: base.href.replace(/\/$/, "") }];
SwaggerUIBundle({
  spec,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "none",
  defaultModelsExpandDepth: -1,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: "none",
});
