/** The API, to read and to try: Swagger UI on our own document. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

/** What has no default is left out until somebody fills it in. Swagger UI itself would send
    "string", and what is empty as well. */
const blanks = {
  components: { ParameterIncludeEmpty: () => null },
  afterLoad() {
    const { getSampleSchema } = this.fn;
    const ofForm = false; // what it gives in place of a content type for a field of a form
    this.fn.getSampleSchema = (schema, type, ...rest) => {
      if (type !== ofForm || schema.has("default")) return getSampleSchema(schema, type, ...rest);
      return schema.get("type") === "array" ? [] : "";
    };
  },
};

window.SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#docs",
  plugins: [blanks],
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null, // somebody else's server
});
