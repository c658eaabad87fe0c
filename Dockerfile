# One image for the three processes: docker build -t kube-sg . ; the manifests say which of them runs.
ARG BASE=node:24-slim

FROM ${BASE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY scripts/bundle.ts scripts/
COPY shared shared
COPY webhook webhook
COPY worker worker
COPY certs-job certs-job
RUN node scripts/bundle.ts

FROM ${BASE}
COPY --from=build /src/dist /app
ENV NODE_ENV=production
USER 65532:65532
ENTRYPOINT ["node"]
CMD ["/app/webhook.js"]
