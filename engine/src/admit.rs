//! The gate before the sequence: a price as it was sent becomes an input, or is refused by name.
//!
//! What passes here can be applied without a further check. The gate looks at the state but does
//! not change it.

use crate::input::{Input, Kind, Origin, Rate, Tick};
use crate::{Currency, Decimal, Engine, LabelId};

/// Why a price or rate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such security.
    #[error("unknown security")]
    UnknownSecurity,
    /// Out of service.
    #[error("the security is inactive")]
    Inactive,
    /// Zero or below.
    #[error("not above 0")]
    NotPositive,
    /// More decimal places than the security carries.
    #[error("more decimal places than the security carries")]
    TooFine,
    /// Above `price_max`.
    #[error("above price_max")]
    TooLarge,
    /// The stated currency is not the security's.
    #[error("not the security's currency")]
    WrongCurrency,
    /// The table of currency pairs is full, or base and quote are the same.
    #[error("unknown currency pair")]
    UnknownPair,
}

/// Most places of a rate.
const RATE_PLACES_MAX: u8 = 18;

impl Engine {
    /// Turns a price into an input.
    ///
    /// # Errors
    /// [`Refused`] when it could not count, whatever the state.
    pub fn admit_price(
        &self,
        symbol: &str,
        price: Decimal,
        currency: Option<&str>,
        origin: Origin,
        size: Option<Decimal>,
        venue: Option<LabelId>,
    ) -> Result<Input, Refused> {
        let id = self
            .security_id(symbol)
            .or_else(|| self.security_renamed(symbol, origin.ts))
            .ok_or(Refused::UnknownSecurity)?;
        let security = &self.securities[id.at()];
        if security.component.is_some() {
            return Err(Refused::UnknownSecurity);
        }
        if !security.life.is_active() {
            return Err(Refused::Inactive);
        }
        if !price.is_positive() {
            return Err(Refused::NotPositive);
        }
        let is_other = |c: &str| {
            c != security.definition.currency.as_str() && !self.is_redenominated(id, c, origin.ts)
        };
        if currency.is_some_and(is_other) {
            return Err(Refused::WrongCurrency);
        }
        let places = security.definition.price_places;
        if price.places() > places && price.normalized().places() > places {
            return Err(Refused::TooFine);
        }
        let units = price.at_places(places).and_then(|p| i64::try_from(p).ok());
        match units {
            Some(price) if price <= security.price_max => Ok(Input::Tick(Tick {
                security: id,
                price,
                origin,
                size,
                venue,
                kind: Kind::Trade,
            })),
            _ => Err(Refused::TooLarge),
        }
    }

    /// Turns a rate into an input.
    ///
    /// # Errors
    /// [`Refused`] when it could not count, whatever the state.
    pub fn admit_rate(
        &self,
        base: Currency,
        quote: Currency,
        rate: Decimal,
        origin: Origin,
    ) -> Result<Input, Refused> {
        if base == quote || !self.rates.has_room(base, quote) {
            return Err(Refused::UnknownPair);
        }
        if !rate.is_positive() {
            return Err(Refused::NotPositive);
        }
        let rate = rate.normalized();
        if rate.places() > RATE_PLACES_MAX {
            return Err(Refused::TooFine);
        }
        let mantissa = i64::try_from(rate.mantissa()).map_err(|_| Refused::TooLarge)?;
        Ok(Input::Rate(Rate {
            base,
            quote,
            mantissa,
            places: rate.places(),
            origin,
        }))
    }
}
