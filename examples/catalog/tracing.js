/* OpenTelemetry as it comes; where spans go to is said by its environment variables. Loaded before the application. */
"use strict";
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-proto");
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { ExpressInstrumentation } = require("@opentelemetry/instrumentation-express");
const { HttpInstrumentation } = require("@opentelemetry/instrumentation-http");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
provider.register();
registerInstrumentations({ instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation()] });

process.on("SIGTERM", () => {
  // Serve what still comes, as a pod that leaves does, then send the last spans.
  setTimeout(() => provider.shutdown().finally(() => process.exit(0)), 1000);
});
