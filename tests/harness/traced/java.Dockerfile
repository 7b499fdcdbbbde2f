# The application of the tests that OpenTelemetry's agent for Java traces. Classes and agent are made beforehand: a build needs no
# compiler and no network. Build context: the repository's root.
ARG BASE=eclipse-temurin:17-jre
FROM ${BASE}
COPY build/java/traced-java /srv
USER 65532:65532
EXPOSE 8080
ENV PORT=8080
CMD ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-javaagent:/srv/opentelemetry-javaagent.jar", "-cp", "/srv", "App"]
