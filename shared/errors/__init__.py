"""Every error that a caller can see, in one tree.

::

    GatewayError                    status  type                    code
    ├── InvalidRequest                 400  invalid_request_error   (set per case)
    │   ├── InvalidConfigurationFile   400  invalid_request_error   invalid_configuration
    │   ├── UnknownProvider            400  invalid_request_error   unknown_provider
    │   ├── UnsupportedParameter       400  invalid_request_error   unsupported_parameter
    │   └── GuardrailDenied            400  invalid_request_error   guardrail_denied
    ├── Unauthorised                   401  authentication_error
    │   ├── VirtualKeyRequired         401  authentication_error    virtual_key_required
    │   ├── VirtualKeyNotFound         401  authentication_error    virtual_key_not_found
    │   └── AdminKeyRequired           401  authentication_error    admin_key_required
    ├── BudgetExceeded                 402  insufficient_quota      budget_exceeded
    │   ├── RunBudgetExceeded          402  insufficient_quota      run_budget_exceeded
    │   └── PriceUnknown               402  insufficient_quota      price_unknown
    ├── Forbidden                      403  permission_error
    │   ├── VirtualKeyBlocked          403  permission_error        virtual_key_blocked
    │   ├── PassthroughBlocked         403  permission_error        passthrough_blocked
    │   ├── ProviderBlocked            403  permission_error        provider_blocked
    │   ├── RoleTooLow                 403  permission_error        role_too_low
    │   └── ModelBlocked               403  permission_error        model_blocked
    ├── NotFound                       404  invalid_request_error   not_found
    │   ├── JobNotFound                404  invalid_request_error   job_not_found
    │   ├── KeyNotFound                404  invalid_request_error   key_not_found
    │   ├── TokenNotFound              404  invalid_request_error   token_not_found
    │   ├── RunNotFound                404  invalid_request_error   run_not_found
    │   ├── DeliveryNotFound           404  invalid_request_error   delivery_not_found
    │   ├── WebhookNotFound            404  invalid_request_error   webhook_not_found
    │   ├── AlertRuleNotFound          404  invalid_request_error   alert_not_found
    │   └── ModelNotFound              404  invalid_request_error   model_not_found
    ├── MethodNotAllowed               405  invalid_request_error   method_not_allowed
    ├── RequestTimeout                 408  invalid_request_error   request_timeout
    ├── Conflict                       409  invalid_request_error
    │   ├── JobCancelled               409  job_cancelled           job_cancelled
    │   ├── JobLive                    409  invalid_request_error   job_live
    │   ├── JobFinished                409  invalid_request_error   job_already_finished
    │   ├── RetryRefused               409  invalid_request_error   job_not_failed
    │   ├── KeyRevoked                 409  invalid_request_error   key_revoked
    │   └── IdempotencyConflict        409  invalid_request_error   idempotency_conflict
    ├── BodyLost                       410  api_error               body_lost
    ├── RequestTooLarge                413  invalid_request_error   request_too_large
    ├── RateLimited                    429  rate_limit_error
    │   ├── RequestLimited             429  rate_limit_error        request_limited
    │   ├── TokenLimited               429  rate_limit_error        token_limited
    │   ├── ConcurrencyLimited         429  rate_limit_error        concurrency_limited
    │   ├── QueueFull                  429  rate_limit_error        queue_full
    │   ├── StorageFull                429  rate_limit_error        storage_full
    │   ├── TooManyAttempts            429  rate_limit_error        too_many_attempts
    │   └── ProviderRateLimited        429  rate_limit_error        provider_rate_limited
    ├── HeadersTooLarge                431  invalid_request_error   headers_too_large
    ├── ClientGone                     499  client_closed_request   client_closed_request
    ├── InternalError                  500  api_error               internal_error
    ├── Unsupported                    501  invalid_request_error   unsupported_operation
    ├── BodyUndecryptable              500  api_error               body_undecryptable
    ├── AttemptsExhausted              500  api_error               attempts_exhausted
    ├── JobFailure                    (its)  (its)                  (its)   the recorded error of a failed job
    ├── NotCached                      504  invalid_request_error   not_cached
    ├── StoreUnavailable               503  api_error               store_unavailable
    ├── GuardrailUnavailable           503  api_error               guardrail_unavailable
    ├── Overloaded                     503  api_error               overloaded
    │   └── CircuitOpen                503  api_error               circuit_open
    └── UpstreamFailure                502  upstream_error          upstream_error
        ├── UpstreamRefused           (its)  (its)                  (its)   the provider's own error
        ├── AnswerTooLarge            502  upstream_error          answer_too_large
        ├── ResultTooLarge            502  upstream_error          result_too_large
        ├── UpstreamTimeout            504  upstream_timeout        upstream_timeout
        └── DeadlineExceeded           504  deadline_exceeded       deadline_exceeded

Each class carries status, type, code and whether the same call may succeed later (``retryable``).
The envelope is OpenAI's: https://platform.openai.com/docs/guides/error-codes
"""

from shared.errors.base import GatewayError
from shared.errors.gateway import (
    AttemptsExhausted,
    BodyLost,
    BodyUndecryptable,
    InternalError,
    JobFailure,
    NotCached,
    StoreUnavailable,
)
from shared.errors.guardrails import GuardrailDenied, GuardrailUnavailable
from shared.errors.limits import (
    BudgetExceeded,
    CircuitOpen,
    ConcurrencyLimited,
    LimitReached,
    Overloaded,
    PriceUnknown,
    ProviderRateLimited,
    QueueFull,
    RateLimited,
    RequestLimited,
    RunBudgetExceeded,
    StorageFull,
    TokenLimited,
    TooManyAttempts,
)
from shared.errors.requests import (
    AdminKeyRequired,
    AlertRuleNotFound,
    ClientGone,
    Conflict,
    DeliveryNotFound,
    Forbidden,
    HeadersTooLarge,
    IdempotencyConflict,
    InvalidConfigurationFile,
    InvalidRequest,
    JobCancelled,
    JobFinished,
    JobLive,
    JobNotFound,
    KeyNotFound,
    KeyRevoked,
    MethodNotAllowed,
    ModelBlocked,
    ModelNotFound,
    NotFound,
    PassthroughBlocked,
    ProviderBlocked,
    RequestTimeout,
    RequestTooLarge,
    RetryRefused,
    RoleTooLow,
    RunNotFound,
    TokenNotFound,
    Unauthorised,
    UnknownProvider,
    Unsupported,
    UnsupportedParameter,
    VirtualKeyBlocked,
    VirtualKeyNotFound,
    VirtualKeyRequired,
    WebhookNotFound,
)
from shared.errors.upstream import (
    AnswerTooLarge,
    DeadlineExceeded,
    ResultTooLarge,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamTimeout,
)

__all__ = [
    "AdminKeyRequired",
    "AlertRuleNotFound",
    "AnswerTooLarge",
    "AttemptsExhausted",
    "BodyLost",
    "BodyUndecryptable",
    "BudgetExceeded",
    "CircuitOpen",
    "ClientGone",
    "ConcurrencyLimited",
    "Conflict",
    "DeadlineExceeded",
    "DeliveryNotFound",
    "Forbidden",
    "GatewayError",
    "GuardrailDenied",
    "GuardrailUnavailable",
    "HeadersTooLarge",
    "IdempotencyConflict",
    "InternalError",
    "InvalidConfigurationFile",
    "InvalidRequest",
    "JobCancelled",
    "JobFailure",
    "JobFinished",
    "JobLive",
    "JobNotFound",
    "KeyNotFound",
    "KeyRevoked",
    "LimitReached",
    "MethodNotAllowed",
    "ModelBlocked",
    "ModelNotFound",
    "NotCached",
    "NotFound",
    "Overloaded",
    "PassthroughBlocked",
    "PriceUnknown",
    "ProviderBlocked",
    "ProviderRateLimited",
    "QueueFull",
    "RateLimited",
    "RequestLimited",
    "RequestTimeout",
    "RequestTooLarge",
    "ResultTooLarge",
    "RetryRefused",
    "RoleTooLow",
    "RunBudgetExceeded",
    "RunNotFound",
    "StorageFull",
    "StoreUnavailable",
    "TokenLimited",
    "TokenNotFound",
    "TooManyAttempts",
    "Unauthorised",
    "UnknownProvider",
    "Unsupported",
    "UnsupportedParameter",
    "UpstreamFailure",
    "UpstreamRefused",
    "UpstreamTimeout",
    "VirtualKeyBlocked",
    "VirtualKeyNotFound",
    "VirtualKeyRequired",
    "WebhookNotFound",
]
