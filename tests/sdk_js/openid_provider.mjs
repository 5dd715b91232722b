// An OpenID provider for tests: whoever signs in at it has the roles of their name, as in `operator+viewer`.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      { client_id: "finops", client_secret: "a-secret-of-the-client", redirect_uris: [process.argv[2]], grant_types: ["authorization_code"], response_types: ["code"] },
      { client_id: "public", token_endpoint_auth_method: "none", redirect_uris: [process.argv[2]], grant_types: ["authorization_code"], response_types: ["code"] },
    ],
    claims: { openid: ["sub"], profile: ["roles", "name"], email: ["email"] },
    cookies: { keys: ["only-for-tests"] },
    pkce: { required: () => true },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, roles: id.split("+").map((role) => `finops-${role}`) }),
    }),
    loadExistingGrant: async (context) => {
      const grant = new context.oidc.provider.Grant({ clientId: context.oidc.client.clientId, accountId: context.oidc.session.accountId });
      grant.addOIDCScope("openid profile email");
      await grant.save();
      return grant;
    },
  });
  server.on("request", provider.callback());
  process.stdout.write(`${issuer}\n`);
});
